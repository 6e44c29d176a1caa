"""Send a region to an expert: one that the model found, or one that somebody drew."""

from __future__ import annotations

from typing import TYPE_CHECKING, NamedTuple

import numpy as np

from napari_deferredseg.core.boxes import bounding_box, slices
from napari_deferredseg.core.errors import InputError
from napari_deferredseg.core.records import Assignment, Origin, Region, State, new_id
from napari_deferredseg.core.volume import labels_present
from napari_deferredseg.masks.components import deepest_index
from napari_deferredseg.routing.effort import estimated_minutes
from napari_deferredseg.usecases.running.route import route

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from napari_deferredseg.usecases.project import Project
    from napari_deferredseg.usecases.reading.open_case import OpenCase


class Target(NamedTuple):
    """Who shall look: a reader's login, a group, or (neither) whom the router chooses."""

    reader: str | None = None
    group: str | None = None


ROUTER = Target()


def defer_region(project: Project, region_id: str, target: Target, by: str, note: str = "") -> Assignment:
    """Give a region to somebody.

    Raises
    ------
    InputError
        Somebody is reading it, it is submitted, or the reader or group does not exist.
    """
    chosen = _resolve(project, project.store.region(region_id), target)
    return project.store.assign(region_id, reader=chosen.reader, group=chosen.group, by=by, note=note)


def release_region(project: Project, case_key: str, number: int, by: str, note: str = "") -> Region:
    """Open a region that `by`, or for a lead anybody, has claimed: whoever comes first may claim it.

    The draft of whoever had it stays theirs. Of several regions of this number it is the one that is claimed.

    Raises
    ------
    InputError
        There is no such case or region, several of this number are claimed, nobody is reading it, or somebody else is
        and `by` is no lead.
    """
    items = project.store.items(case_key=case_key)
    named = [x for x in items if x.region.number == number]
    if not named:
        known = ", ".join(str(x.region.number) for x in items) or "none"
        raise InputError(f"{case_key} has no region {number}; its regions: {known}")
    held = [x for x in named if x.assignment.state is State.CLAIMED]
    if len(held) > 1:
        names = " and ".join(project.store.reader(x.assignment.holder or "").name for x in held)
        raise InputError(
            f"{case_key} has {len(held)} regions {number} that are being read, by {names}: choose the one in napari, "
            "Defer to expert, and press Release for others"
        )
    chosen = (held or named)[0].region
    project.store.take_back(chosen.id, project.store.reader(by).login, note)
    return chosen


def defer_drawn(
    project: Project, case: OpenCase, drawn: NDArray[np.bool_], target: Target, by: str, note: str = ""
) -> Region:
    """Make a region of what somebody drew, (z, y, x) bool in file order, and give it to somebody.

    Raises
    ------
    InputError
        Nothing is drawn, or the reader or group does not exist.
    """
    box = bounding_box(drawn)
    if box is None:
        raise InputError("nothing is drawn yet: draw an outline around the region first")
    mask = np.ascontiguousarray(drawn[slices(box)])
    below = case.labels[slices(box)][mask]
    found, counts = np.unique(below[below > 0], return_counts=True)
    middle = deepest_index(mask, case.record.geometry.spacing_zyx)
    center = case.record.geometry.lps(np.add(middle, [lo for lo, _ in box]))
    region = Region(
        id=new_id(),
        case_key=case.record.key,
        prediction_id=case.prediction.id,
        number=1 + max((x.region.number for x in project.store.items(case_key=case.record.key)), default=0),
        labels=tuple(int(v) for v in found[np.argsort(-counts)]) or _near(case, box),
        box=box,
        mask=mask,
        volume=float(mask.sum()) * case.record.geometry.voxel_volume,
        center=(float(center[0]), float(center[1]), float(center[2])),
        gain=float(case.defer[slices(box)][mask].mean()),
        minutes=estimated_minutes(mask, case.record.geometry),
        origin=Origin.DRAWN,
        note=note,
    )
    chosen = _resolve(project, region, target)
    return project.store.add_region(
        region, Assignment(region_id=region.id, reader=chosen.reader, group=chosen.group, assigned_by=by)
    )


def _near(case: OpenCase, box: tuple[tuple[int, int], ...]) -> tuple[int, ...]:
    """Labels around an empty spot: what the reader will most likely paint there."""
    around = tuple(slice(max(0, lo - 5), hi + 5) for lo, hi in box)
    return labels_present(np.asarray(case.labels[around]))[:1]


def _resolve(project: Project, region: Region, target: Target) -> Target:
    readers = project.store.readers()
    if target.group is not None:
        if not any(target.group in reader.groups for reader in readers):
            known = ", ".join(sorted({g for reader in readers for g in reader.groups})) or "none"
            raise InputError(f"no reader is in a group {target.group!r}; known groups: {known}")
        return target
    if target.reader is not None:
        return Target(reader=project.store.reader(target.reader).login)
    table = project.store.prediction(region.case_key).table
    return Target(reader=route(project, [region], table)[0].reader)
