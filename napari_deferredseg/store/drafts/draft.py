"""The crop a reader is working on, and its form on disk."""

from __future__ import annotations

import hashlib
import json
import struct
from dataclasses import dataclass
from datetime import datetime
from typing import TYPE_CHECKING, Any

from napari_deferredseg.core.boxes import Box, size
from napari_deferredseg.core.errors import Damaged
from napari_deferredseg.store.codec import decode, encode

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

MAGIC = b"DSDRAFT1"
HEAD = struct.Struct("<8sI32s")
TEXTS = ("region_id", "case_key", "reader", "voxel_hash", "model_id", "note")
LATER_TEXTS = ("id", "supersedes")
"""Texts that earlier versions did not write."""
ARRAYS = ("before", "after")


@dataclass(frozen=True, eq=False)
class Draft:
    """State of the crop under edit; not the strokes that led there.

    Attributes
    ----------
    voxel_hash : str
        Of the case's volume, so that a draft never lands on another image.
    started, saved : datetime
        When the reader began, and when this state was taken. UTC.
    active_seconds : float
        Time with the hands on it so far.
    box : Box
        Crop of the case's grid that the arrays cover.
    before, after : (dz, dy, dx) uint8 or uint16
        Labels as the reader found them, and as they are now.
    id : str
        Of the correction that it is to become, hexadecimal: two windows on one region have a draft each. "" in those
        of earlier versions.
    supersedes : str
        Id of the correction that it amends, or "".
    """

    region_id: str
    case_key: str
    reader: str
    voxel_hash: str
    model_id: str
    started: datetime
    active_seconds: float
    saved: datetime
    box: Box
    before: NDArray[np.uint8] | NDArray[np.uint16]
    after: NDArray[np.uint8] | NDArray[np.uint16]
    note: str = ""
    id: str = ""
    supersedes: str = ""

    def __post_init__(self) -> None:
        for name in ARRAYS:
            if getattr(self, name).shape != size(self.box):
                raise ValueError(f"{name} {getattr(self, name).shape} does not fill the box {self.box}")


def dump(draft: Draft) -> list[bytes]:
    """Bytes of a draft: magic, length and hash of the header; the header in JSON; the packed arrays."""
    packed = {name: encode(getattr(draft, name)) for name in ARRAYS}
    header = json.dumps(_facts(draft) | {"arrays": [_described(draft, n, p) for n, p in packed.items()]}).encode()
    return [HEAD.pack(MAGIC, len(header), hashlib.sha256(header).digest()), header, *packed.values()]


def parse(data: bytes) -> Draft:
    """Return the draft that `dump` wrote.

    Raises
    ------
    Damaged
        The bytes are cut short, changed, or not ours.
    """
    try:
        return _parse(data)
    except (KeyError, TypeError, ValueError, struct.error) as error:
        raise Damaged(str(error)) from error


def _parse(data: bytes) -> Draft:
    magic, length, digest = HEAD.unpack_from(data)
    header = data[HEAD.size : HEAD.size + length]
    if magic != MAGIC or hashlib.sha256(header).digest() != digest:
        raise Damaged("the header is not what was written")
    facts: dict[str, Any] = json.loads(header)
    arrays, start = {}, HEAD.size + length
    for entry in facts["arrays"]:
        packed = data[start : start + entry["bytes"]]
        if hashlib.sha256(packed).hexdigest() != entry["sha256"]:
            raise Damaged(f"{entry['name']} is not what was written")
        arrays[entry["name"]] = decode(packed)
        start += entry["bytes"]
    (a, b), (c, d), (e, f) = facts["box"]
    return Draft(
        **{name: facts[name] for name in TEXTS},
        **{name: facts.get(name, "") for name in LATER_TEXTS},
        started=datetime.fromisoformat(facts["started"]),
        saved=datetime.fromisoformat(facts["saved"]),
        active_seconds=facts["active_seconds"],
        box=((a, b), (c, d), (e, f)),
        before=arrays["before"],
        after=arrays["after"],
    )


def _facts(draft: Draft) -> dict[str, Any]:
    return {name: getattr(draft, name) for name in TEXTS + LATER_TEXTS} | {
        "started": draft.started.isoformat(),
        "saved": draft.saved.isoformat(),
        "active_seconds": float(draft.active_seconds),
        "box": [[int(low), int(high)] for low, high in draft.box],
    }


def _described(draft: Draft, name: str, packed: bytes) -> dict[str, Any]:
    array = getattr(draft, name)
    return {
        "name": name,
        "dtype": str(array.dtype),
        "shape": [int(n) for n in array.shape],
        "bytes": len(packed),
        "sha256": hashlib.sha256(packed).hexdigest(),
    }
