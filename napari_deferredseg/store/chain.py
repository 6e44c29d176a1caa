"""Hashes that tell whether a correction is still what was submitted."""

from __future__ import annotations

import hashlib
import json
from datetime import UTC
from typing import TYPE_CHECKING

from napari_deferredseg.store.codec import fingerprint

if TYPE_CHECKING:
    from datetime import datetime

    from napari_deferredseg.core.records import Correction

START = "0" * 64


def digest(correction: Correction, salt: bytes) -> str:
    """Salted SHA-256 of everything a correction says. Without the salt nobody can try out what it might have been."""
    facts = {
        "id": correction.id,
        "region": correction.region_id,
        "case": correction.case_key,
        "reader": correction.reader,
        "model": correction.model_id,
        "voxels": correction.voxel_hash,
        "started": _time(correction.started),
        "submitted": _time(correction.submitted),
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


def _canonical(facts: dict[str, object]) -> bytes:
    return json.dumps(facts, sort_keys=True, separators=(",", ":"), allow_nan=False).encode()


def _time(value: datetime) -> str:
    return value.astimezone(UTC).isoformat(timespec="microseconds")
