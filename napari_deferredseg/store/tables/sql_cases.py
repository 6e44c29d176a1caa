"""Cases, predictions and regions; every function runs inside the caller's transaction."""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING

from sqlalchemy import Select, bindparam, func, insert, or_, select, update

from napari_deferredseg.core.errors import Busy, InputError
from napari_deferredseg.core.records import (
    Assignment,
    CaseRecord,
    Origin,
    PredictionRecord,
    Region,
    State,
    WorkItem,
    utc_now,
)
from napari_deferredseg.store import chain
from napari_deferredseg.store.tables import rows, schema
from napari_deferredseg.store.tables.clock import LONGEST_LEASE
from napari_deferredseg.store.tables.prepared import Prepared
from napari_deferredseg.store.tables.sql_events import Entry, append, record_event
from napari_deferredseg.store.tables.sql_names import no_region
from napari_deferredseg.store.tables.sql_readers import acting, require_group, require_login

if TYPE_CHECKING:
    from collections.abc import Sequence
    from datetime import datetime
    from typing import Any

    from sqlalchemy import Connection, CursorResult

    from napari_deferredseg.store.tables.clock import Moment

CASES, PREDICTIONS, REGIONS = schema.cases.c, schema.predictions.c, schema.regions.c
ASSIGNMENTS, READERS = schema.assignments.c, schema.readers.c
MOST_PARAMETERS = 500
# Built once, since a reader waits for it.
_CASE_OF_REGION = Prepared(
    select(CASES.key, CASES.voxel_hash, CASES.geometry)
    .join(schema.regions, REGIONS.case_key == CASES.key)
    .where(REGIONS.id == bindparam("region"))
)


def add_prediction(
    connection: Connection,
    case: CaseRecord,
    prediction: PredictionRecord,
    regions: Sequence[Region],
    assignments: Sequence[Assignment],
    moment: Moment,
) -> bool:
    """Add a run; as `Store.add_prediction`."""
    _check_belonging(case, prediction, regions, assignments)
    if connection.scalar(select(PREDICTIONS.id).where(PREDICTIONS.id == prediction.id)):
        return False
    _add_case(connection, case)
    _withdraw(connection, case.key, moment)
    values = rows.prediction_values(prediction)
    values["sequence"] = _key(connection.execute(insert(schema.predictions).values(values)))
    record_event(connection, "run", facts={"prediction": prediction.id}, subject=chain.content(values))
    _add_regions(connection, _numbered(connection, case.key, regions), assignments, moment)
    return True


def all_cases(connection: Connection) -> list[CaseRecord]:
    """List cases in the order they were added."""
    found = connection.execute(select(schema.cases).order_by(CASES.sequence)).mappings()
    return [rows.to_case(row) for row in found]


def find_case(connection: Connection, key: str) -> CaseRecord:
    """Find one; as `Store.case`."""
    row = connection.execute(select(schema.cases).where(CASES.key == key)).mappings().one_or_none()
    if row is None:
        known = ", ".join(connection.scalars(select(CASES.key).order_by(CASES.sequence))) or "none"
        raise InputError(f"there is no case {key!r}; known cases: {known}")
    return rows.to_case(row)


def move_case(connection: Connection, key: str, source: str, series: str) -> None:
    """Say where the image lies now; as `Store.move_case`."""
    find_case(connection, key)
    connection.execute(update(schema.cases).where(CASES.key == key).values(source=source, series=series))
    append(connection, [_place_entry(key, source, series)])


def newest_prediction(connection: Connection, case_key: str) -> PredictionRecord:
    """Find the one added last; as `Store.prediction`."""
    find_case(connection, case_key)
    statement = (
        select(schema.predictions)
        .where(PREDICTIONS.case_key == case_key)
        .order_by(PREDICTIONS.sequence.desc())
        .limit(1)
    )
    row = connection.execute(statement).mappings().one_or_none()
    if row is None:
        raise InputError(f"the case {case_key} has no prediction: run a model on it")
    return rows.to_prediction(row)


def all_predictions(connection: Connection) -> list[PredictionRecord]:
    """List predictions in the order they were added."""
    found = connection.execute(select(schema.predictions).order_by(PREDICTIONS.sequence)).mappings()
    return [rows.to_prediction(row) for row in found]


def runs_in_use(connection: Connection) -> set[str]:
    """Ids of the newest predictions, and of those with drawn regions that are listed."""
    newest = select(PREDICTIONS.id).where(PREDICTIONS.sequence.in_(_newest()))
    drawn = (
        select(REGIONS.prediction_id)
        .join(schema.assignments, ASSIGNMENTS.region_id == REGIONS.id)
        .where(REGIONS.origin == Origin.DRAWN, ASSIGNMENTS.state != State.WITHDRAWN)
    )
    return {*connection.scalars(newest), *connection.scalars(drawn)}


def add_region(connection: Connection, region: Region, assignment: Assignment, moment: Moment) -> Region:
    """Add a drawn region; as `Store.add_region`."""
    if assignment.region_id != region.id:
        raise ValueError(f"the assignment is for {assignment.region_id}, not for {region.id}")
    find_case(connection, region.case_key)
    owner = connection.scalar(select(PREDICTIONS.case_key).where(PREDICTIONS.id == region.prediction_id))
    if owner != region.case_key:
        raise InputError(
            f"the case {region.case_key} does not have the prediction that this was drawn on: open the case again"
        )
    (kept,) = _numbered(connection, region.case_key, [region])
    _add_regions(connection, [kept], [assignment], moment)
    return kept


def find_region(connection: Connection, region_id: str) -> Region:
    """Find one; as `Store.region`."""
    row = connection.execute(select(schema.regions).where(REGIONS.id == region_id)).mappings().one_or_none()
    if row is None:
        raise no_region()
    return rows.to_region(row)


def image_of_region(connection: Connection, region_id: str) -> tuple[str, str, tuple[int, ...]]:
    """Key, voxel hash and shape (z, y, x) of the case that a region is of. InputError when there is no such region."""
    row = _CASE_OF_REGION.one(connection, {"region": region_id})
    if row is None:
        raise no_region()
    return row["key"], row["voxel_hash"], tuple(row["geometry"]["shape"])


def all_items(connection: Connection, case_key: str | None, known: dict[str, Region]) -> list[WorkItem]:
    """List regions with their assignments; as `Store.items`. `known` regions are not read again, new ones join them."""
    if case_key is not None:
        find_case(connection, case_key)
    statement = _items().where(
        ASSIGNMENTS.state != State.WITHDRAWN,
        or_(REGIONS.origin == Origin.DRAWN, PREDICTIONS.sequence.in_(_newest())),
    )
    if case_key is not None:
        statement = statement.where(REGIONS.case_key == case_key)
    return _to_items(connection, statement, known)


def worklist(connection: Connection, login: str, now: datetime, known: dict[str, Region]) -> list[WorkItem]:
    """List what a reader may work on; as `Store.worklist`. `known` as in `all_items`."""
    reader = require_login(connection, login)
    lapsed = or_(ASSIGNMENTS.lease_until <= now, ASSIGNMENTS.lease_until > now + LONGEST_LEASE)
    claimed = (ASSIGNMENTS.state == State.CLAIMED) & ((ASSIGNMENTS.holder == reader.login) | lapsed)
    statement = _items().where(
        or_(ASSIGNMENTS.reader == reader.login, ASSIGNMENTS.group_name.in_(reader.groups)),
        or_(ASSIGNMENTS.state.in_((State.OPEN, State.SKIPPED)), claimed),
    )
    items = _to_items(connection, statement, known)
    return sorted(items, key=lambda item: item.assignment.state is State.SKIPPED)


def case_entries(values: dict[str, Any]) -> list[Entry]:
    """Entries that tell of a new row of `cases`: what stays, and where the image lies, which may change."""
    stays = {name: value for name, value in values.items() if name not in ("source", "series")}
    entry = Entry("case", facts={"case": values["key"]}, subject=chain.content(stays))
    return [entry, _place_entry(values["key"], values["source"], values["series"])]


def region_entry(values: dict[str, Any], assignment: dict[str, Any], at: datetime | None = None) -> Entry:
    """Entry that tells of a new row of `regions` and its row of `assignments`."""
    until = assignment["lease_until"]
    facts = {
        "group": assignment["group_name"],
        "state": str(assignment["state"]),
        "until": None if until is None else chain.time_text(until),
        "updated": chain.time_text(assignment["updated"]),
    }
    return Entry(
        "region",
        region_id=values["id"],
        facts=facts,
        subject=chain.content(values),
        who=assignment["assigned_by"],
        target=assignment["reader"],
        note=assignment["reason"],
        at=at or utc_now(),
    )


def _place_entry(key: str, source: str, series: str) -> Entry:
    # A path may hold a name: its hash is salted.
    salt = chain.new_salt()
    place = chain.content({"source": source, "series": series}, salt)
    return Entry("move", facts={"case": key}, subject=place, who="", salt=salt)


def _newest() -> Select[Any]:
    return select(func.max(PREDICTIONS.sequence)).group_by(PREDICTIONS.case_key)


def _key(result: CursorResult[Any]) -> int:
    key = result.inserted_primary_key
    assert key is not None
    return int(key[0])


def _items() -> Select[Any]:
    return (
        select(schema.assignments)
        .join(schema.regions, REGIONS.id == ASSIGNMENTS.region_id)
        .join(schema.predictions, PREDICTIONS.id == REGIONS.prediction_id)
        .join(schema.cases, CASES.key == REGIONS.case_key)
        .order_by(CASES.sequence, REGIONS.number, REGIONS.id)
    )


def _to_items(connection: Connection, statement: Select[Any], known: dict[str, Region]) -> list[WorkItem]:
    cases = {case.key: case for case in all_cases(connection)}
    held = [rows.to_assignment(row) for row in connection.execute(statement).mappings()]
    _read_regions(connection, [x.region_id for x in held if x.region_id not in known], known)
    return [WorkItem(region := known[x.region_id], cases[region.case_key], x) for x in held]


def _read_regions(connection: Connection, ids: Sequence[str], known: dict[str, Region]) -> None:
    for start in range(0, len(ids), MOST_PARAMETERS):
        statement = select(schema.regions).where(REGIONS.id.in_(ids[start : start + MOST_PARAMETERS]))
        for row in connection.execute(statement).mappings():
            region = rows.to_region(row)
            region.mask.setflags(write=False)
            known[region.id] = region


def _check_belonging(
    case: CaseRecord, prediction: PredictionRecord, regions: Sequence[Region], assignments: Sequence[Assignment]
) -> None:
    if prediction.case_key != case.key:
        raise ValueError(f"the prediction is of the case {prediction.case_key}, not of {case.key}")
    if any((r.case_key, r.prediction_id) != (case.key, prediction.id) for r in regions):
        raise ValueError("a region belongs to another case or prediction")
    if sorted(r.id for r in regions) != sorted(a.region_id for a in assignments):
        raise ValueError("there is not one assignment for each region")


def _add_case(connection: Connection, case: CaseRecord) -> None:
    row = (
        connection.execute(select(schema.cases).where(CASES.key == case.key).with_for_update()).mappings().one_or_none()
    )
    if row is None:
        values = rows.case_values(case)
        values["sequence"] = _key(connection.execute(insert(schema.cases).values(values)))
        append(connection, case_entries(values))
        return
    known = rows.to_case(row)
    if known.voxel_hash != case.voxel_hash:
        raise InputError(f"{case.source} is another image than the one of case {case.key}: give it another key")
    difference = known.geometry.difference(case.geometry)
    if difference is not None:
        raise InputError(f"{case.source} is on another grid than case {case.key}: {difference}")


def _withdraw(connection: Connection, case_key: str, moment: Moment) -> None:
    earlier = select(REGIONS.id).where(REGIONS.case_key == case_key, REGIONS.origin != Origin.DRAWN)
    unread = (State.OPEN, State.SKIPPED, State.DECLINED, State.CLAIMED)
    statement = (
        select(ASSIGNMENTS.region_id, ASSIGNMENTS.state, ASSIGNMENTS.lease_until, READERS.name)
        .outerjoin(schema.readers, READERS.login == ASSIGNMENTS.holder)
        .where(ASSIGNMENTS.region_id.in_(earlier), ASSIGNMENTS.state.in_(unread))
        .with_for_update(of=schema.assignments)
    )
    found, now = connection.execute(statement).all(), moment.now
    held = [row for row in found if row.state == State.CLAIMED]
    reading = sorted({row.name for row in held if now < row.lease_until <= now + LONGEST_LEASE})
    if reading:
        raise Busy(f"{', '.join(reading)} is reading a region of {case_key}: it must be submitted or left first")
    if not found:
        return
    withdrawn = [row.region_id for row in found]
    connection.execute(
        update(schema.assignments)
        .where(ASSIGNMENTS.region_id.in_(earlier), ASSIGNMENTS.state.in_(unread))
        .values(state=State.WITHDRAWN, updated=now)
    )
    append(connection, [Entry("withdraw", region_id=region_id, at=now) for region_id in withdrawn])


def _numbered(connection: Connection, case_key: str, regions: Sequence[Region]) -> list[Region]:
    """Return new regions of a case, numbered after those that stay in it."""
    numbers = (
        select(func.max(REGIONS.number))
        .join(schema.assignments, ASSIGNMENTS.region_id == REGIONS.id)
        .where(REGIONS.case_key == case_key, ASSIGNMENTS.state != State.WITHDRAWN)
    )
    last = connection.scalar(numbers) or 0
    if all(region.number > last for region in regions):
        return list(regions)
    return [replace(region, number=number) for number, region in enumerate(regions, start=last + 1)]


def _add_regions(
    connection: Connection, regions: Sequence[Region], assignments: Sequence[Assignment], moment: Moment
) -> None:
    if not regions:
        return
    addressed = _addressed(connection, assignments)
    ids = {region.id for region in regions}
    known = set(connection.scalars(select(REGIONS.id).where(REGIONS.id.in_(ids))))
    if known or len(ids) != len(regions):
        raise InputError("a region with the same id is there already: give every region a new one")
    made = [rows.region_values(region) for region in regions]
    connection.execute(insert(schema.regions), made)
    given = {a.region_id: rows.assignment_values(a) for a in addressed}
    connection.execute(insert(schema.assignments), list(given.values()))
    append(connection, [region_entry(values, given[values["id"]], moment.now) for values in made])


def _addressed(connection: Connection, assignments: Sequence[Assignment]) -> list[Assignment]:
    """Return the assignments with logins as the readers table spells them; errors as `acting` and `require_group`."""
    if any((a.reader is None) == (a.group is None) for a in assignments):
        raise ValueError("an assignment needs a reader or a group, and not both")
    for group in {a.group for a in assignments if a.group is not None}:
        require_group(connection, group)
    logins = {name: acting(connection, name).login for name in {a.reader for a in assignments if a.reader}}
    return [a.model_copy(update={"reader": logins[a.reader]}) if a.reader else a for a in assignments]
