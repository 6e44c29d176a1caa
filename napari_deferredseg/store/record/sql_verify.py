"""Whether everything is as it was written; every function runs inside the caller's transaction."""

from __future__ import annotations

from typing import TYPE_CHECKING

from sqlalchemy import select, update

from napari_deferredseg.core.errors import Damaged
from napari_deferredseg.store import chain
from napari_deferredseg.store.record.ledger import Ledger, each, facts_of, read_ledger
from napari_deferredseg.store.record.replay import replay_problems
from napari_deferredseg.store.record.subjects import subject_problems
from napari_deferredseg.store.seal import Mark, ProjectKey, RecordCheck
from napari_deferredseg.store.tables import rows, schema
from napari_deferredseg.store.tables.sql_corrections import BY_ID, link_of
from napari_deferredseg.store.tables.sql_events import Entry, append

if TYPE_CHECKING:
    from collections.abc import Sequence
    from typing import Any

    from sqlalchemy import Connection

HEAD, CORRECTIONS = schema.chain_head.c, schema.corrections.c
AUTHORS, PAYLOADS = schema.correction_authors.c, schema.correction_payloads.c


def key_id(connection: Connection) -> str | None:
    """Name of the project's key; as `Store.key_id`."""
    found: str | None = connection.scalar(select(HEAD.key_id).where(HEAD.id == 2))
    return found


def erased(connection: Connection) -> set[str]:
    """Ids of the corrections that the record says were erased."""
    events = schema.events.c
    return {x for x in connection.scalars(select(events.correction_id).where(events.what == "erase")) if x}


def take_key(connection: Connection, key: ProjectKey, project: str, found: bool) -> str:
    """Give a key to a project that has none; as `Store.take_key`."""
    known = key_id(connection)
    if known is not None:
        return known
    events = schema.events.c
    sealed = select(events.sequence).where((events.seal.is_not(None)) | (events.what == "key")).limit(1)
    if connection.execute(sealed).one_or_none() is not None:
        return ""  # it had one: somebody took the name out
    connection.execute(update(schema.chain_head).where(HEAD.id == 2).values(key_id=key.id))
    facts = {"key": key.id, "project": project} | ({"found": True} if found else {})
    append(connection, [Entry("key", facts=facts)])
    return key.id


def check_record(
    connection: Connection, key: ProjectKey | None, marks: Sequence[Mark], project: str, torn: Sequence[str]
) -> RecordCheck:
    """Check it all; as `Store.check_record`. `torn` is what is wrong with the file itself."""
    ledger = read_ledger(connection)
    seals = _seals(ledger, key, key_id(connection))
    problems = [
        *torn,
        *ledger.problems,
        *seals.problems,
        *subject_problems(connection, ledger),
        *_correction_problems(connection, ledger),
        *replay_problems(connection, ledger),
        *_head_problems(connection, ledger),
        *_mark_problems(ledger, key, marks),
        *_name_problems(ledger, project),
    ]
    return RecordCheck(tuple(problems), (*seals.remarks, *_other_remarks(connection, ledger)))


def _seals(ledger: Ledger, key: ProjectKey | None, named: str | None) -> RecordCheck:
    recorded = next((facts_of(e).get("key") for e in ledger.entries if e["what"] == "key"), None)
    sealed = [e for e in ledger.entries if e["seal"] is not None]
    if recorded != named:
        return RecordCheck((f"the record is sealed with the key {recorded}, but the project names {named}",))
    if named is None:
        if key is not None:
            return RecordCheck((f"this computer has the key {key.id} of this project, but the project names none",))
        lone = (f"{len(sealed)} entries are sealed, but the project names no key",) if sealed else ()
        return RecordCheck(lone, ("the project has no key: whoever rewrites the whole record is not found out",))
    if key is None:
        count = f"{len(sealed)} entries are sealed with the key {named}, which this computer does not have"
        gaps = tuple(_gaps(ledger))
        return RecordCheck(
            gaps, (f"{count}: they were checked as plain hashes", *(() if gaps else _unsealed(ledger, sealed)))
        )
    if key.id != named:
        return RecordCheck((f"this computer's key of this project is {key.id}, but the project names {named}",))
    false = [e for e in sealed if not key.has_sealed(e["chain"], e["seal"])]
    if false:
        first = f"{len(false)} entries, from entry {false[0]['sequence']} on, do not bear the seal of the project's key"
        return RecordCheck((f"{first}: they were written or changed by somebody without it",))
    gaps = tuple(_gaps(ledger))
    return RecordCheck(gaps, () if gaps else _unsealed(ledger, sealed))


def _gaps(ledger: Ledger) -> list[str]:
    """Entries without a seal that nothing accounts for; at the end are those whom no holder has sealed yet."""
    problems, start = [], 0
    for entry in ledger.entries:
        number, facts = entry["sequence"], facts_of(entry)
        if entry["seal"] is None:
            start = start or number
            if entry["what"] in ("key", "seal"):
                problems.append(f"{ledger.tells(entry)} bears no seal: the seals were taken away")
            continue
        span = (facts.get("from"), facts.get("to")) if entry["what"] == "seal" else (0, 0)
        if start and span != (start, number - 1):
            problems.append(f"the entries {start} to {number - 1} have no seal, and no later entry accounts for them")
        start = 0
    return problems


def _unsealed(ledger: Ledger, sealed: Sequence[Any]) -> tuple[str, ...]:
    """Say which entries were not sealed when they were written."""
    if not sealed:
        return (f"none of the {len(ledger.entries)} entries is sealed yet",)
    first, last = sealed[0]["sequence"], sealed[-1]["sequence"]
    plain = [e["sequence"] for e in ledger.entries if e["seal"] is None]
    before, after = sum(n < first for n in plain), sum(n > last for n in plain)
    between = len(plain) - before - after
    remarks = []
    if before:
        remarks.append(f"{before} entries are older than the key, which sealed them as they were found")
    if between:
        remarks.append(f"{between} entries were written without the key and sealed as they were found later")
    if after:
        kinds = ", ".join(sorted({str(e["what"]) for e in ledger.entries[last:]}))
        remarks.append(
            f"the last {after} entries ({kinds}) have no seal yet: the next change made with the key seals them"
        )
    return tuple(remarks)


def _correction_problems(connection: Connection, ledger: Ledger) -> list[str]:
    erased = {e["correction_id"] for e in ledger.entries if e["what"] == "erase"}
    kept = {*connection.scalars(select(PAYLOADS.correction_id)), *connection.scalars(select(AUTHORS.correction_id))}
    problems: list[str] = []
    previous = chain.START
    for position, (_, row) in enumerate(each(connection, schema.corrections, "sequence"), start=1):
        if row is None:
            problems.append(f"correction number {position} is damaged in the database")
            continue
        if (row["sequence"], row["previous"], row["chain"]) != (position, previous, link_of(row)):
            problems.append(f"{ledger.correction(row['id'])}: its link in the chain does not fit the one before it")
        if row["id"] not in erased:
            problems.extend(_content_problems(connection, row, ledger.correction(row["id"])))
        elif row["id"] in kept:
            said = f"{ledger.correction(row['id'])} is said to be erased"
            problems.append(f"{said}, but its author or its content is there")
        previous = row["chain"]
    return problems


def _content_problems(connection: Connection, row: Any, name: str) -> list[str]:
    changed = f"{name} is not what was submitted"
    try:
        whole = connection.execute(BY_ID, {"correction": row["id"]}).mappings().one_or_none()
        if whole is None:
            return [f"{changed}: its content is missing and nobody has erased it"]
        same = chain.digest(rows.to_correction(whole), whole["salt"]) == row["digest"]
    except (Damaged, ValueError, TypeError):
        return [f"{changed}: its content is damaged"]
    return [] if same else [changed]


def _head_problems(connection: Connection, ledger: Ledger) -> list[str]:
    kept = connection.execute(select(schema.chain_head)).all()
    heads = {row.id: (row.length, row.chain) for row in kept}
    links = list(connection.scalars(select(CORRECTIONS.chain).order_by(CORRECTIONS.sequence)))
    ends = {
        2: ("entries", len(ledger.entries), ledger.head),
        1: ("corrections", len(links), links[-1] if links else chain.START),
    }
    problems = [f"chain_head has a row {number} that is not of this program" for number in heads if number not in ends]
    problems += [f"row {row.id} of chain_head names a key" for row in kept if row.id != 2 and row.key_id is not None]
    for number, (what, length, end) in ends.items():
        expected, head = heads.get(number, ("an unknown number", None))
        if (expected, head) != (length, end):
            problems.append(f"the end of the chain is not what it was: {length} {what}, {expected} expected")
    return problems


def _mark_problems(ledger: Ledger, key: ProjectKey | None, marks: Sequence[Mark]) -> list[str]:
    problems: dict[str, str] = {}
    for mark in marks:
        if mark.length > len(ledger.entries):
            gone = mark.length - len(ledger.entries)
            said = f"{mark.source} counts {mark.length} entries, the project {len(ledger.entries)}: {gone} were cut off"
            problems.setdefault(mark.source, f"{said}, or an older copy was put in its place{_way_out(mark)}")
        elif ledger.head_at(mark.length) != mark.head:
            said = f"{mark.source}: up to entry {mark.length} the record is not the one that was there then"
            problems.setdefault(mark.source, f"{said}; it has been rewritten{_way_out(mark)}")
        elif key is not None and mark.seal is not None and not key.has_sealed(mark.head, mark.seal):
            problems.setdefault(mark.source, f"{mark.source} does not bear the seal of the project's key")
    return list(problems.values())


def _way_out(mark: Mark) -> str:
    return f" (where you did that on purpose, delete {mark.place} to accept it)" if mark.place else ""


def _name_problems(ledger: Ledger, project: str) -> list[str]:
    named = [facts_of(e).get("project") for e in ledger.entries if e["what"] == "key"]
    if not project or all(name in (project, "") for name in named):
        return []
    return [f"the project is said to be {project}, but its record is that of another: its project.json was changed"]


def _other_remarks(connection: Connection, ledger: Ledger) -> list[str]:
    remarks = [
        f"triggers of the database were missing before {e['at']:%Y-%m-%d %H:%M} UTC and were put back: somebody has "
        "worked on it with another tool"
        for e in ledger.entries
        if e["what"] == "guard"
    ]
    remarks += [
        f"the project named no key and was given the one that this key's holder had made for it, on "
        f"{e['at']:%Y-%m-%d %H:%M} UTC: what was there was sealed as it was found"
        for e in ledger.entries
        if e["what"] == "key" and facts_of(e).get("found")
    ]
    old = next((e for e in ledger.entries if e["what"] == "adopt"), None)
    if old is not None:
        count = f"{facts_of(old).get('entries')} events and {facts_of(old).get('corrections', 0)} corrections"
        remarks.append(f"{count} are of an older version and were taken over as found on {old['at']:%Y-%m-%d}")
    unknown = connection.scalars(select(schema.predictions.c.id).where(schema.predictions.c.defer_hash == "")).all()
    if unknown:
        remarks.append(f"{len(unknown)} runs of an older version have no hashes of all their arrays")
    return remarks
