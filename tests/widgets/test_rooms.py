"""What a widget must not do: reach into the store, speak for the session, grow past a page."""

from __future__ import annotations

import ast
from pathlib import Path

import pytest

import napari_deferredseg.widgets

HOME = Path(napari_deferredseg.widgets.__file__).parent
FILES = sorted(HOME.rglob("*.py"))
ROOMS = sorted(folder for folder in HOME.iterdir() if (folder / "__init__.py").is_file())
MOST_MODULES, MOST_LINES = 15, 400
INSIDE = {"store", "journal"}
"""Parts of a project that are behind the session."""


def reached(tree: ast.AST) -> list[str]:
    """Expressions that look into a project's store or journal."""
    return [ast.unparse(x) for x in ast.walk(tree) if isinstance(x, ast.Attribute) and x.attr in INSIDE]


def spoken(tree: ast.AST) -> list[str]:
    """Expressions that emit an event of a session, or hand that on; other names for its events are followed."""
    names = {
        target.id
        for x in ast.walk(tree)
        if isinstance(x, ast.Assign) and ast.unparse(x.value).endswith("session.events")
        for target in x.targets
        if isinstance(target, ast.Name)
    }
    emits = [x for x in ast.walk(tree) if isinstance(x, ast.Attribute) and x.attr == "emit"]
    groups = [(x, x.value.value) for x in emits if isinstance(x.value, ast.Attribute)]
    return [
        ast.unparse(x)
        for x, group in groups
        if ast.unparse(group).endswith("session.events") or (isinstance(group, ast.Name) and group.id in names)
    ]


def tree_of(file: Path) -> ast.AST:
    return ast.parse(file.read_text(encoding="utf-8"))


def test_no_widget_reaches_into_the_store():
    found = {file.name: lines for file in FILES if (lines := reached(tree_of(file)))}
    assert found == {}


def test_nobody_but_the_session_emits_its_events():
    found = {file.name: lines for file in FILES if (lines := spoken(tree_of(file)))}
    assert found == {}


@pytest.mark.parametrize(
    ("look", "text"),
    [
        (reached, "readers = self.session.project.store.readers()"),
        (reached, "def f(project):\n    return project.journal.drafts('ada')"),
        (spoken, "self._session.events.worklist.emit()"),
        (spoken, "def f(self):\n    events = self.session.events\n    events.case.emit()"),
        (spoken, "button.clicked.connect(session.events.reader.emit)"),
    ],
)
def test_what_is_not_allowed_is_seen(look, text):
    assert look(ast.parse(text))


def test_a_seats_own_events_are_its_own():
    assert not spoken(ast.parse("self._events.message.emit(line)"))


@pytest.mark.parametrize("room", ROOMS, ids=lambda room: room.name)
def test_a_room_is_small(room):
    modules = [file for file in room.glob("*.py") if file.name != "__init__.py"]
    assert 0 < len(modules) <= MOST_MODULES
    for file in modules:
        assert len(file.read_text(encoding="utf-8").splitlines()) <= MOST_LINES, file.name
