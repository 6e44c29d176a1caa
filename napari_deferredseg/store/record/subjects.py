"""Whether the rows that the record tells of are there, and as they were."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from napari_deferredseg.store import chain
from napari_deferredseg.store.record.ledger import READER_CHANGES, each, facts_of
from napari_deferredseg.store.tables import schema
from napari_deferredseg.store.tables.sql_readers import plain_reader

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Mapping

    from sqlalchemy import Connection, Table

    from napari_deferredseg.store.record.ledger import Ledger


def subject_problems(connection: Connection, ledger: Ledger) -> list[str]:
    """Compare readers, cases, predictions, regions and corrections with the entries that tell of them."""
    logins = [login for login, _ in each(connection, schema.readers, "login")]
    by_reader = _entries_of(ledger, ("reader",), lambda e: _login(ledger, e, logins))
    changed = _entries_of(ledger, READER_CHANGES, lambda e: _login(ledger, e, logins))
    readers = {login: _newest(entries, changed.get(login, [])) for login, entries in by_reader.items()}
    by_case = _entries_of(ledger, ("case",), lambda e: _fact(e, "case"))
    places = _entries_of(ledger, ("move",), lambda e: _fact(e, "case"))
    runs = _entries_of(ledger, ("run",), lambda e: _fact(e, "prediction"))
    regions = _entries_of(ledger, ("region",), lambda e: e["region_id"])
    sent = _entries_of(ledger, ("submit", "amend"), lambda e: e["correction_id"])

    def reader_hash(row: Mapping[str, Any], entry: Mapping[str, Any]) -> str:
        return chain.content(plain_reader(row), ledger.people[entry["sequence"]]["salt"])

    def place_hash(row: Mapping[str, Any], entry: Mapping[str, Any]) -> str:
        salt = ledger.people[entry["sequence"]]["salt"]
        return chain.content({"source": row["source"], "series": row["series"]}, salt)

    def case_hash(row: Mapping[str, Any], _: object) -> str:
        return chain.content({name: value for name, value in row.items() if name not in ("source", "series")})

    def whole(row: Mapping[str, Any], _: object) -> str:
        return chain.content(row)

    newest = {key: entries[-1:] for key, entries in places.items()}
    checks = (
        (schema.readers, "login", readers, reader_hash, ledger.reader),
        (schema.cases, "key", by_case, case_hash, lambda key: f"case {key}"),
        (schema.cases, "key", newest, place_hash, lambda key: f"where the image of {key} lies"),
        (schema.predictions, "id", runs, whole, ledger.run),
        (schema.regions, "id", regions, whole, ledger.region),
        (schema.corrections, "id", sent, lambda row, _: row["chain"], ledger.correction),
    )
    return [line for check in checks for line in _compare(connection, *check)]


def _newest(made: list[Mapping[str, Any]], changed: list[Mapping[str, Any]]) -> list[Mapping[str, Any]]:
    """Entry that says how a row stands now, where it was made once."""
    return [*made, *changed][-1:] if len(made) == 1 else made


def _compare(
    connection: Connection,
    table: Table,
    key: str,
    recorded: dict[Any, list[Mapping[str, Any]]],
    hash_of: Callable[[Mapping[str, Any], Mapping[str, Any]], str],
    name: Callable[[Any], str],
) -> Iterator[str]:
    there = set()
    for identity, row in each(connection, table, key):
        there.add(identity)
        entries = recorded.get(identity, [])
        if not entries:
            yield f"{name(identity)} is not in the record: it was put in, or renamed"
        elif len(entries) > 1:
            first, second = (entry["sequence"] for entry in entries[:2])
            yield f"{name(identity)} is told of twice, by the entries {first} and {second}"
        elif not _same(row, entries[0], hash_of):
            yield f"{name(identity)} is not what the record says: it was changed"
    for identity, entries in recorded.items():
        if identity not in there:
            yield f"{name(identity)} is missing, of which entry {entries[0]['sequence']} tells"


def _same(
    row: Mapping[str, Any] | None,
    entry: Mapping[str, Any],
    hash_of: Callable[[Mapping[str, Any], Mapping[str, Any]], str],
) -> bool:
    try:
        return row is not None and hash_of(row, entry) == entry["subject"]
    except (ValueError, TypeError, KeyError, AttributeError):
        return False


def _entries_of(
    ledger: Ledger, what: tuple[str, ...], key: Callable[[Mapping[str, Any]], Any]
) -> dict[Any, list[Mapping[str, Any]]]:
    recorded: dict[Any, list[Mapping[str, Any]]] = {}
    for entry in ledger.entries:
        identity = key(entry) if entry["what"] in what else None
        if isinstance(identity, str):
            recorded.setdefault(identity, []).append(entry)
    return recorded


def _fact(entry: Mapping[str, Any], name: str) -> Any:
    return facts_of(entry).get(name)


def _login(ledger: Ledger, entry: Mapping[str, Any], logins: list[Any]) -> Any:
    """Whom an entry of a new reader is about; the entry's own number where it is none of the logins."""
    row = ledger.people.get(entry["sequence"])
    if row is None:
        return None
    recorded = _fact(entry, "login")
    same = (login for login in logins if chain.content({"login": login}, row["salt"]) == recorded)
    return next(same, f"of entry {entry['sequence']}")
