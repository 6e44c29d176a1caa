"""Statements that a reader waits for: compiled once, then run by the driver alone, which is ten times as fast."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from sqlalchemy import Connection, Dialect, Executable
    from sqlalchemy.engine.interfaces import DBAPICursor

    Row = dict[str, Any]


MISSING = object()
"""In place of the value of a parameter that every call must give."""


class Prepared:
    """A statement without lists of parameters, built at import and run inside a connection's transaction.

    Errors are the driver's own; `SqlStore` makes a line of them.
    """

    def __init__(self, statement: Executable) -> None:
        self._statement = statement
        self._forms: dict[str, _Form] = {}

    def run(self, connection: Connection, values: Mapping[str, Any]) -> None:
        """Run it; nothing comes back."""
        self._execute(connection, values).close()

    def one(self, connection: Connection, values: Mapping[str, Any]) -> Row | None:
        """Run it and return the first row by column name, or None."""
        cursor = self._execute(connection, values)
        row = cursor.fetchone()
        cursor.close()
        return None if row is None else self._forms[connection.dialect.name].row(row)

    def scalar(self, connection: Connection, values: Mapping[str, Any]) -> Any:
        """Run it and return the first column of the first row, or None."""
        row = self.one(connection, values)
        return None if row is None else next(iter(row.values()))

    def _execute(self, connection: Connection, values: Mapping[str, Any]) -> DBAPICursor:
        form = self._forms.get(connection.dialect.name)
        if form is None:
            form = self._forms[connection.dialect.name] = _Form(self._statement, connection.dialect)
        cursor = connection.connection.cursor()
        cursor.execute(form.text, form.bound(values))
        return cursor


class _Form:
    """A statement in the words of one database."""

    def __init__(self, statement: Executable, dialect: Dialect) -> None:
        compiled: Any = statement.compile(dialect=dialect)  # type: ignore[attr-defined]
        self.text = str(compiled)
        self._by_place = bool(compiled.positional)
        self._names: Sequence[str] = compiled.positiontup if compiled.positional else list(compiled.binds)
        binds = [compiled.binds[name] for name in self._names]
        self._binds = [
            (b.key, MISSING if b.required else b.effective_value, b.type.dialect_impl(dialect).bind_processor(dialect))
            for b in binds
        ]
        columns: Any = getattr(statement, "exported_columns", ())
        self._columns = [(c.key, c.type.dialect_impl(dialect).result_processor(dialect, None)) for c in columns]

    def bound(self, values: Mapping[str, Any]) -> Any:
        given = []
        for key, fixed, process in self._binds:
            value = values[key] if fixed is MISSING else values.get(key, fixed)
            given.append(value if process is None else process(value))
        return given if self._by_place else dict(zip(self._names, given, strict=True))

    def row(self, row: Sequence[Any]) -> Row:
        return {
            key: value if process is None else process(value)
            for (key, process), value in zip(self._columns, row, strict=True)
        }
