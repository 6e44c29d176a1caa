"""Image embeddings on disk: each slice goes through the encoder once, whoever asks again."""

from __future__ import annotations

import hashlib
import os
from contextlib import suppress
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np
from platformdirs import user_cache_path

from napari_deferredseg.core.errors import InputError
from napari_deferredseg.core.names import folder_in

if TYPE_CHECKING:
    from pathlib import Path

    from numpy.typing import NDArray

    from napari_deferredseg.core.volume import Array

FOLDER, LIMIT = "DEFERREDSEG_EMBEDDINGS", "DEFERREDSEG_EMBEDDINGS_GB"
GB = 10.0
ROOM = 0.9  # of the limit is left after making room, so that it is not made for every slice


@dataclass(frozen=True)
class EmbeddingCache:
    """Embeddings by the content of what they were made of. When they get too many, those not used longest go.

    Attributes
    ----------
    folder : Path
    limit : int
        Bytes that the files may take.
    """

    folder: Path
    limit: int

    @classmethod
    def of_user(cls) -> EmbeddingCache:
        """Cache of this user on this computer; the environment may say where and how large (GB)."""
        folder = folder_in(FOLDER) or user_cache_path("napari-deferredseg", appauthor=False) / "embeddings"
        try:
            limit = float(os.environ.get(LIMIT) or GB)
        except ValueError:
            raise InputError(f"{LIMIT}={os.environ[LIMIT]!r} is no number of gigabytes; write for example 10") from None
        return cls(folder, int(limit * 1e9))

    def load(self, key: str) -> NDArray[np.generic] | None:
        """Embedding of a key; None where it is not kept, or damaged."""
        path = self._path(key)
        try:
            found: NDArray[np.generic] = np.load(path, allow_pickle=False)
        except (OSError, ValueError, EOFError):
            return None
        with suppress(OSError):  # a folder that several share may be read-only
            os.utime(path)
        return found

    def save(self, key: str, array: Array) -> None:
        """Keep an embedding, whole or not at all; on a full disk nothing is kept and nobody is stopped."""
        path = self._path(key)
        unfinished = path.with_suffix(f".{os.getpid()}.part")
        try:
            path.parent.mkdir(parents=True, exist_ok=True)
            with unfinished.open("wb") as file:
                np.save(file, array, allow_pickle=False)
            unfinished.replace(path)
        except OSError:
            with suppress(OSError):
                unfinished.unlink(missing_ok=True)

    def make_room(self) -> None:
        """Let go of what was not used longest, as far as the limit asks."""
        files = []
        for path in self.folder.glob("*/*"):
            with suppress(OSError):  # another process may make room too
                stat = path.stat()
                files.append((stat.st_mtime, stat.st_size, path))
        total = sum(size for _, size, _ in files)
        if total <= self.limit:
            return
        for _, size, path in sorted(files, key=lambda x: x[0]):
            if total <= self.limit * ROOM:
                break
            with suppress(OSError):
                path.unlink()
                total -= size

    def _path(self, key: str) -> Path:
        return self.folder / key[:2] / f"{key}.npy"


def content_key(*parts: bytes) -> str:
    """Name of what was made of these bytes."""
    digest = hashlib.blake2b(digest_size=20)
    for part in parts:
        digest.update(len(part).to_bytes(8, "little"))
        digest.update(part)
    return digest.hexdigest()
