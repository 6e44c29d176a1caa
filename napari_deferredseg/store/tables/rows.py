"""Records to table rows and back."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from napari_deferredseg.core.errors import Damaged
from napari_deferredseg.core.geometry import Geometry
from napari_deferredseg.core.records import (
    Assignment,
    CaseRecord,
    Correction,
    Origin,
    PredictionRecord,
    Reader,
    Region,
    Verdict,
)
from napari_deferredseg.core.volume import LabelTable
from napari_deferredseg.store.codec import decode, encode

if TYPE_CHECKING:
    from sqlalchemy import RowMapping

    from napari_deferredseg.core.boxes import Box

Values = dict[str, Any]


def reader_values(reader: Reader) -> Values:
    """Row of a reader."""
    return reader.model_dump(mode="json") | {"login_key": reader.login.casefold()}


def to_reader(row: RowMapping | Values) -> Reader:
    """Reader of a row."""
    return Reader.model_validate({k: v for k, v in row.items() if k != "login_key"})


def case_values(case: CaseRecord) -> Values:
    """Row of a case."""
    return case.model_dump() | {"geometry": case.geometry.model_dump(mode="json")}


def to_case(row: RowMapping | Values) -> CaseRecord:
    """Case of a row."""
    return CaseRecord(
        key=row["key"],
        geometry=Geometry.model_validate(row["geometry"]),
        voxel_hash=row["voxel_hash"],
        source=row["source"],
        modality=row["modality"],
        series=row["series"],
        created=row["created"],
    )


def prediction_values(prediction: PredictionRecord) -> Values:
    """Row of a prediction."""
    values = prediction.model_dump(exclude={"table"})
    return values | {"label_table": prediction.table.model_dump(mode="json")}


def to_prediction(row: RowMapping) -> PredictionRecord:
    """Prediction of a row."""
    return PredictionRecord(
        id=row["id"],
        case_key=row["case_key"],
        model_id=row["model_id"],
        table=LabelTable.model_validate(row["label_table"]),
        labels_hash=row["labels_hash"],
        alternative_hash=row["alternative_hash"],
        defer_hash=row["defer_hash"],
        settings=row["settings"],
        created=row["created"],
    )


def region_values(region: Region) -> Values:
    """Row of a region."""
    return {
        "id": region.id,
        "case_key": region.case_key,
        "prediction_id": region.prediction_id,
        "number": region.number,
        "labels": [int(v) for v in region.labels],
        "box": _plain_box(region.box),
        "mask": encode(region.mask),
        "volume": float(region.volume),
        "center": [float(v) for v in region.center],
        "gain": float(region.gain),
        "minutes": float(region.minutes),
        "scores": [float(v) for v in region.scores],
        "origin": str(region.origin),
        "note": region.note,
    }


def to_region(row: RowMapping) -> Region:
    """Region of a row. Damaged when its mask is damaged."""
    try:
        mask = decode(row["mask"])
    except Damaged as error:
        where = f"region {row['number']} of {row['case_key']}"
        raise Damaged(f"{where} is damaged in the database ({error}): restore a backup") from error
    x, y, z = row["center"]
    return Region(
        id=row["id"],
        case_key=row["case_key"],
        prediction_id=row["prediction_id"],
        number=row["number"],
        labels=tuple(row["labels"]),
        box=_box(row["box"]),
        mask=mask,
        volume=row["volume"],
        center=(x, y, z),
        gain=row["gain"],
        minutes=row["minutes"],
        scores=tuple(row["scores"]),
        origin=Origin(row["origin"]),
        note=row["note"],
    )


def assignment_values(assignment: Assignment) -> Values:
    """Row of an assignment."""
    values = assignment.model_dump()
    values["group_name"] = values.pop("group")
    values["state"] = str(assignment.state)
    return values


def to_assignment(row: RowMapping | Values) -> Assignment:
    """Assignment of a row."""
    return Assignment(
        region_id=row["region_id"],
        reader=row["reader"],
        group=row["group_name"],
        state=row["state"],
        holder=row["holder"],
        lease_until=row["lease_until"],
        reason=row["reason"],
        assigned_by=row["assigned_by"],
        updated=row["updated"],
    )


def payload_values(correction: Correction, salt: bytes) -> Values:
    """Row of the part of a correction that can be erased."""
    return {
        "correction_id": correction.id,
        "salt": salt,
        "model_id": correction.model_id,
        "voxel_hash": correction.voxel_hash,
        "started": correction.started,
        "submitted": correction.submitted,
        "active_seconds": float(correction.active_seconds),
        "verdict": str(correction.verdict),
        "box": _plain_box(correction.box),
        "note": correction.note,
        "before": encode(correction.before),
        "after": encode(correction.after),
        "support": encode(correction.support),
    }


def to_correction(row: RowMapping | Values) -> Correction:
    """Correction of a row that joins all its parts.

    Raises
    ------
    Damaged, ValueError
        It is not what was written.
    """
    return Correction(
        id=row["id"],
        region_id=row["region_id"],
        case_key=row["case_key"],
        reader=row["reader"],
        model_id=row["model_id"],
        voxel_hash=row["voxel_hash"],
        started=row["started"],
        submitted=row["submitted"],
        active_seconds=row["active_seconds"],
        verdict=Verdict(row["verdict"]),
        box=_box(row["box"]),
        before=decode(row["before"]),
        after=decode(row["after"]),
        support=decode(row["support"]),
        note=row["note"],
        supersedes=row["supersedes"],
    )


def _plain_box(box: Box) -> list[list[int]]:
    return [[int(low), int(high)] for low, high in box]


def _box(value: list[list[int]]) -> Box:
    (a, b), (c, d), (e, f) = value
    return (a, b), (c, d), (e, f)
