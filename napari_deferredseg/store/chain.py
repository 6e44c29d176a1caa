"""Hashes that tell whether a correction, an entry of the record, or a row that it tells of is still what it was."""

from __future__ import annotations

import hashlib
import json
import secrets
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any

from napari_deferredseg.store.codec import fingerprint

if TYPE_CHECKING:
    from collections.abc import Mapping

    from napari_deferredseg.core.records import Correction

START = "0" * 64
SALT_BYTES = 32
LINKED = ("sequence", "what", "region_id", "correction_id", "facts", "subject", "people")


def new_salt() -> bytes:
    """Fresh random salt."""
    return secrets.token_bytes(SALT_BYTES)


def digest(correction: Correction, salt: bytes) -> str:
    """Salted SHA-256 of everything a correction says. Without the salt nobody can try out what it might have been."""
    facts = {
        "id": correction.id,
        "region": correction.region_id,
        "case": correction.case_key,
        "reader": correction.reader,
        "model": correction.model_id,
        "voxels": correction.voxel_hash,
        "started": time_text(correction.started),
        "submitted": time_text(correction.submitted),
        "active": float(correction.active_seconds),
        "verdict": str(correction.verdict),
        "box": correction.box,
        "note": correction.note,
        "supersedes": correction.supersedes,
        "before": fingerprint(correction.before),
        "after": fingerprint(correction.after),
        "support": fingerprint(correction.support),
    }
    return hashlib.sha256(salt + _canonical(facts)).hexdigest()


def link(previous: str, sequence: int, identity: str, region_id: str, supersedes: str | None, content: str) -> str:
    """Hash of a correction's place: what came before it, the facts that outlive an erasure, and its salted digest."""
    facts = {"sequence": sequence, "id": identity, "region": region_id, "supersedes": supersedes, "digest": content}
    return hashlib.sha256(previous.encode() + _canonical(facts)).hexdigest()


def entry(previous: str, row: Mapping[str, Any]) -> str:
    """Hash of an entry of the record (a row of `events`) and of all that came before it."""
    facts = {name: row[name] for name in LINKED} | {"at": time_text(row["at"])}
    return hashlib.sha256(previous.encode() + _canonical(facts)).hexdigest()


def people(salt: bytes, who: str, target: str | None, note: str) -> str:
    """Salted hash of who did something, to whom and why."""
    return hashlib.sha256(salt + _canonical({"who": who, "target": target, "note": note})).hexdigest()


def content(values: Mapping[str, Any], salt: bytes = b"") -> str:
    """Hash of a row's values, whatever table it is of."""
    plain = {name: _plain(value) for name, value in values.items()}
    return hashlib.sha256(salt + _canonical(plain)).hexdigest()


def _plain(value: Any) -> Any:
    if isinstance(value, bytes):
        return ["bytes", hashlib.sha256(value).hexdigest()]  # a text that spells the hash is not the same
    return time_text(value) if isinstance(value, datetime) else value


def _canonical(facts: dict[str, Any]) -> bytes:
    return json.dumps(facts, sort_keys=True, separators=(",", ":")).encode()


def time_text(value: datetime) -> str:
    """Write a time as the hashes hold it: UTC, to the microsecond."""
    return value.astimezone(UTC).isoformat(timespec="microseconds")
