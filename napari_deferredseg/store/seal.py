"""The project's key, and what is said of a chain: where it stood, and whether all is as it was."""

from __future__ import annotations

import hashlib
import hmac
import secrets
from dataclasses import dataclass, field
from typing import Protocol

KEY = "deferredseg_key"
"""Execution option of a connection whose entries are sealed with this key."""
MEMORY = "deferredseg_memory"
"""Execution option of such a connection: the `Memory` of the key."""


@dataclass(frozen=True)
class ProjectKey:
    """Secret of a project. It lies with the people who hold it, never in the project."""

    secret: bytes = field(default_factory=lambda: secrets.token_bytes(32), repr=False)

    @property
    def id(self) -> str:
        """Name of the key, which tells nothing about it."""
        return hashlib.sha256(b"deferredseg project key " + self.secret).hexdigest()[:16]

    def seal(self, head: str) -> str:
        """HMAC-SHA256 of a chain's hash."""
        return hmac.digest(self.secret, head.encode(), "sha256").hex()

    def has_sealed(self, head: str, seal: str | None) -> bool:
        """Whether a seal is this key's."""
        return seal is not None and hmac.compare_digest(self.seal(head).encode(), seal.encode())


@dataclass(frozen=True)
class Mark:
    """How long the record was, and how it ended. `source` says who remembers it; `seal` is missing without a key.

    `place` is what whoever put an older copy back on purpose deletes, so that this is forgotten.
    """

    length: int
    head: str
    seal: str | None = None
    source: str = ""
    place: str = ""


class Memory(Protocol):
    """The longest record that a key has sealed or was seen to have sealed, kept where its holder keeps the key."""

    def last(self) -> Mark | None:
        """Where the record stood then. None: nothing is known."""

    def keep(self, mark: Mark) -> None:
        """Remember a mark that is not shorter than the one before. One that cannot be kept costs nothing else."""


@dataclass(frozen=True)
class RecordCheck:
    """What a check of a project found.

    Attributes
    ----------
    problems : tuple of str
        What is not as it was written. None: all that could be checked is.
    remarks : tuple of str
        What could not be checked, and what somebody who asks should know.
    """

    problems: tuple[str, ...] = ()
    remarks: tuple[str, ...] = ()
