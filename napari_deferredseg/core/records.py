"""What is kept about readers, cases, regions and corrections. Plain values: no file, no database, no screen."""

from __future__ import annotations

import re
from dataclasses import dataclass
from datetime import UTC, date, datetime
from enum import StrEnum
from typing import Self
from uuid import uuid4

import numpy as np
from numpy.typing import NDArray
from pydantic import BaseModel, ConfigDict, Field, field_validator, model_validator

from napari_deferredseg.core.boxes import Box, size
from napari_deferredseg.core.geometry import Geometry, Vector
from napari_deferredseg.core.names import Name
from napari_deferredseg.core.volume import LabelTable

LOGIN = re.compile(r"[A-Za-z0-9][A-Za-z0-9._-]{0,39}")


def utc_now() -> datetime:
    """Time of now in UTC, as every record keeps it."""
    return datetime.now(UTC)


def new_id() -> str:
    """Fresh random id, 32 hexadecimal digits."""
    return uuid4().hex


class Role(StrEnum):
    """Whose part somebody has in a project; what each may do stands in `usecases.permissions`."""

    READER = "reader"
    LEAD = "lead"
    ADMIN = "admin"


class State(StrEnum):
    """Where an assignment stands."""

    OPEN = "open"
    CLAIMED = "claimed"
    SUBMITTED = "submitted"
    SKIPPED = "skipped"
    DECLINED = "declined"
    SETTLED = "settled"
    WITHDRAWN = "withdrawn"

    @property
    def is_done(self) -> bool:
        """Whether a correction of it counts."""
        return self in (State.SUBMITTED, State.SETTLED)


class Verdict(StrEnum):
    """What a reader found."""

    ACCEPTED = "accepted"
    EDITED = "edited"
    INDETERMINATE = "indeterminate"
    POINTLESS = "pointless"


class Origin(StrEnum):
    """Who made a region."""

    MODEL = "model"
    DRAWN = "drawn"
    SPOT_CHECK = "spot check"


class Record(BaseModel):
    """Base of the records: frozen, no unknown fields."""

    model_config = ConfigDict(frozen=True, extra="forbid")


class Reader(Record):
    """A named expert.

    `capacity` is minutes of reading a day (0: nothing is routed to them); `specialities` are label names (none: a
    generalist); a member of a group may claim what is assigned to the group. They are absent from the first to the
    last day of `absent_from` and `absent_to`. Who is not `active` does nothing any more; what they did stays.
    """

    login: str
    name: Name
    capacity: float = Field(default=60.0, ge=0, le=24 * 60)
    specialities: tuple[Name, ...] = ()
    role: Role = Role.READER
    groups: tuple[Name, ...] = ()
    active: bool = True
    absent_from: date | None = None
    absent_to: date | None = None

    @field_validator("login")
    @classmethod
    def _plain_login(cls, value: str) -> str:
        if not LOGIN.fullmatch(value):
            raise ValueError(f"{value!r} is no login: use up to 40 letters, digits, dot, dash or underscore")
        return value

    @model_validator(mode="after")
    def _whole_absence(self) -> Self:
        first, last = self.absent_from, self.absent_to
        if (first is None) != (last is None):
            raise ValueError("an absence has a first and a last day: give both")
        if first is not None and last is not None and last < first:
            raise ValueError(f"the last day of an absence, {last}, is before its first, {first}")
        return self

    def is_absent(self, day: date) -> bool:
        """Whether they are away on a day."""
        return self.absent_from is not None and self.absent_to is not None and self.absent_from <= day <= self.absent_to

    @property
    def is_routed_to(self) -> bool:
        """Whether regions are given to them when they are not away."""
        return self.active and self.capacity > 0


class CaseRecord(Record):
    """One volume under review. `key` is a pseudonym; `source` is relative to the project's folder where it can be."""

    key: str
    geometry: Geometry
    voxel_hash: str
    source: str
    modality: str = ""
    series: str = ""
    created: datetime = Field(default_factory=utc_now)


class PredictionRecord(Record):
    """One run of a model on a case; its arrays lie in files named by `id`.

    The hashes are those of the arrays as the files hold them; one that is empty was not kept.
    """

    id: str
    case_key: str
    model_id: str
    table: LabelTable
    labels_hash: str
    alternative_hash: str = ""
    defer_hash: str = ""
    settings: dict[str, str | float | int | bool]
    created: datetime = Field(default_factory=utc_now)


@dataclass(frozen=True)
class Region:
    """A part of a case that a reader should look at.

    Attributes
    ----------
    mask : (dz, dy, dx) bool
        The region inside `box`.
    labels : tuple of int
        Label values under review, the principal one first.
    volume : float
        mm3.
    center : (x, y, z)
        LPS position of a voxel in the middle of the region, mm.
    gain : float
        Mean gain over the region, 0 to 1.
    scores : tuple of float
        Gain of each of the K expert channels; empty where the model has none.
    minutes : float
        Estimated reading time.
    """

    id: str
    case_key: str
    prediction_id: str
    number: int
    labels: tuple[int, ...]
    box: Box
    mask: NDArray[np.bool_]
    volume: float
    center: Vector
    gain: float
    minutes: float
    scores: tuple[float, ...] = ()
    origin: Origin = Origin.MODEL
    note: str = ""

    def __post_init__(self) -> None:
        if self.mask.shape != size(self.box) or self.mask.dtype != np.bool_:
            raise ValueError(f"a {self.mask.dtype} mask {self.mask.shape} does not fill the box {self.box}")


class Assignment(Record):
    """Who holds a region: one reader, or a group of which any member may claim it. Exactly one of both is set.

    `holder` is the login that claimed it, until `lease_until`.
    """

    region_id: str
    reader: str | None = None
    group: str | None = None
    state: State = State.OPEN
    holder: str | None = None
    lease_until: datetime | None = None
    reason: str = ""
    assigned_by: str = "router"
    updated: datetime = Field(default_factory=utc_now)


@dataclass(frozen=True)
class WorkItem:
    """A line of a worklist: the region, its case, who holds it."""

    region: Region
    case: CaseRecord
    assignment: Assignment

    @property
    def note(self) -> str:
        """What people wrote to its reader: whoever drew the region, and whoever sent it on."""
        return "; ".join(dict.fromkeys(text for text in (self.region.note, self.sent_with) if text))

    @property
    def sent_with(self) -> str:
        """What `assignment.assigned_by` wrote when they sent it to its reader."""
        return "" if self.assignment.state is State.DECLINED else self.assignment.reason


@dataclass(frozen=True)
class Correction:
    """What a reader submitted for a region. Never changed; `supersedes` names the correction that it amends.

    Attributes
    ----------
    id : str
        Made by the client before it submits: sending the same one again changes nothing.
    box : Box
        Crop of the case's grid that the arrays cover.
    before, after : (dz, dy, dx) uint8 or uint16
        Labels as the reader found and left them.
    support : (dz, dy, dx) bool
        Voxels the reader is answerable for.
    active_seconds : float
        Time with the hands on it, pauses left out.
    """

    id: str
    region_id: str
    case_key: str
    reader: str
    model_id: str
    voxel_hash: str
    started: datetime
    submitted: datetime
    active_seconds: float
    verdict: Verdict
    box: Box
    before: NDArray[np.uint8] | NDArray[np.uint16]
    after: NDArray[np.uint8] | NDArray[np.uint16]
    support: NDArray[np.bool_]
    note: str = ""
    supersedes: str | None = None

    def __post_init__(self) -> None:
        for name in ("before", "after", "support"):
            if getattr(self, name).shape != size(self.box):
                raise ValueError(f"{name} {getattr(self, name).shape} does not fill the box {self.box}")
        if np.any((self.before != self.after) & ~self.support):
            raise ValueError("a changed voxel lies outside the support")
