"""Who holds which region, played again from the record of events."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from napari_deferredseg.core.records import State
from napari_deferredseg.store.chain import time_text
from napari_deferredseg.store.record.ledger import each, facts_of
from napari_deferredseg.store.tables import schema
from napari_deferredseg.store.tables.sql_corrections import ERASED

if TYPE_CHECKING:
    from collections.abc import Mapping

    from sqlalchemy import Connection

    from napari_deferredseg.store.record.ledger import Ledger

BECOMES = {
    "assign": State.OPEN,
    "claim": State.CLAIMED,
    "release": State.OPEN,
    "skip": State.SKIPPED,
    "decline": State.DECLINED,
    "submit": State.SUBMITTED,
    "amend": State.SUBMITTED,
    "withdraw": State.WITHDRAWN,
}
UNKNOWN = object()
"""What only somebody knew who has been erased."""


@dataclass
class Standing:
    """A row of `assignments` as the record has it."""

    state: Any = None
    reader: Any = None
    group_name: Any = None
    holder: Any = None
    lease_until: Any = None
    reason: Any = ""
    assigned_by: Any = ""
    updated: Any = None


def replay_problems(connection: Connection, ledger: Ledger) -> list[str]:
    """Compare the table of assignments with what the record says."""
    expected, problems = standings(ledger), []
    for region, row in each(connection, schema.assignments, "region_id"):
        if region not in expected:
            problems.append(f"{ledger.region(region)}: the record does not say whose it is")
            continue
        standing = expected.pop(region)
        wrong = ["row"] if row is None else _differing(standing, row)
        if wrong:
            problems.append(
                f"{ledger.region(region)}: its {', '.join(wrong)} in the worklist is not what the record says"
            )
    return problems + [f"{ledger.region(r)} is missing from the worklist" for r in sorted(expected)]


def standings(ledger: Ledger) -> dict[str, Standing]:
    """Play the record again: who holds each region that it tells of."""
    played: dict[str, Standing] = {}
    for entry in ledger.entries:
        if entry["region_id"] is not None:
            _apply(played.setdefault(entry["region_id"], Standing()), entry, ledger)
    recorded = {entry["region_id"] for entry in ledger.entries if entry["what"] == "region"}
    return {region: standing for region, standing in played.items() if region in recorded}


def _apply(now: Standing, entry: Mapping[str, Any], ledger: Ledger) -> None:
    what, facts = entry["what"], facts_of(entry)
    named = ledger.people.get(entry["sequence"])
    who, target, note = (UNKNOWN,) * 3 if named is None else (named["who"], named["target"], named["note"])
    if what == "region":
        now.state, now.lease_until, now.updated = facts.get("state"), facts.get("until"), facts.get("updated")
        now.reader, now.group_name, now.assigned_by, now.reason = target, facts.get("group"), who, note
        now.holder = now.holder if facts.get("found") else None
        return
    if what == "erase":
        if facts.get("stood") and now.state == State.SUBMITTED:
            now.state, now.holder, now.reason, now.updated = State.DECLINED, None, ERASED, time_text(entry["at"])
        return
    if what not in BECOMES:
        return
    now.state, now.updated = BECOMES[what], time_text(entry["at"])
    if what == "withdraw":
        return
    now.holder = who if what in ("claim", "submit", "amend") else None
    now.lease_until = facts.get("until") if what == "claim" else None
    if what == "assign":
        now.reader, now.group_name, now.assigned_by, now.reason = target, facts.get("group"), who, note
    elif what == "decline":
        now.reason = note


def _differing(expected: Standing, row: Mapping[str, Any]) -> list[str]:
    found = dict(row) | {name: _time(row[name]) for name in ("lease_until", "updated")}
    wanted = vars(expected)
    return [name for name in wanted if wanted[name] is not UNKNOWN and wanted[name] != found[name]]


def _time(value: Any) -> str | None:
    return None if value is None else time_text(value)
