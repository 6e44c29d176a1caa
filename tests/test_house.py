"""The house as it is drawn in CONTRIBUTING: what import-linter's contracts do not say."""

from __future__ import annotations

import statistics
from graphlib import CycleError, TopologicalSorter
from pathlib import Path

import grimp
import pytest

import napari_deferredseg

HOUSE = Path(napari_deferredseg.__file__).parent
FILES = [path for path in HOUSE.rglob("*.py") if path.name != "__init__.py"]
ROOMS = [folder for folder in HOUSE.rglob("*") if folder.is_dir() and any(folder.glob("*.py"))]


def lines(path: Path) -> int:
    return len(path.read_text(encoding="utf-8").splitlines())


@pytest.fixture(scope="module")
def arrows() -> dict[str, set[str]]:
    """Which module imports which, imports for type checking counted too."""
    graph = grimp.build_graph("napari_deferredseg", cache_dir=None)
    return {module: graph.find_modules_directly_imported_by(module) for module in graph.modules}


def test_no_circle_of_modules(arrows: dict[str, set[str]]) -> None:
    try:
        TopologicalSorter(arrows).prepare()
    except CycleError as error:
        pytest.fail(f"a circle of imports: {' <- '.join(error.args[1])}")


@pytest.mark.parametrize("room", ROOMS, ids=lambda room: room.relative_to(HOUSE).as_posix())
def test_a_folder_can_be_overlooked(room: Path) -> None:
    assert len([path for path in room.glob("*.py") if path.name != "__init__.py"]) <= 15


def test_files_are_short() -> None:
    assert {path.name: lines(path) for path in FILES if lines(path) > 400} == {}
    assert statistics.median(lines(path) for path in FILES) <= 150


@pytest.mark.parametrize("room", [HOUSE, *ROOMS], ids=lambda room: room.relative_to(HOUSE.parent).as_posix())
def test_no_circle_of_rooms(room: Path, arrows: dict[str, set[str]]) -> None:
    """What stands side by side in one folder, files and folders, has a top and a bottom."""
    start = ".".join(room.relative_to(HOUSE.parent).parts) + "."
    within: dict[str, set[str]] = {}
    for module, imported in arrows.items():
        if module.startswith(start):
            one = module.removeprefix(start).split(".")[0]
            others = {name.removeprefix(start).split(".")[0] for name in imported if name.startswith(start)}
            within.setdefault(one, set()).update(others - {one})
    try:
        TopologicalSorter(within).prepare()
    except CycleError as error:
        pytest.fail(f"a circle of rooms: {' <- '.join(error.args[1])}")
