"""The list of regions, their outlines, and how little is told when a reader goes from one to the next."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from napari.components import ViewerModel

from napari_deferredseg.core.boxes import slices
from napari_deferredseg.core.frame import frame_of
from napari_deferredseg.core.geometry import Geometry
from napari_deferredseg.core.records import Assignment, CaseRecord, Region, State, Verdict, WorkItem
from napari_deferredseg.core.volume import table_from_names
from napari_deferredseg.usecases.reading.views import WorkRow
from napari_deferredseg.widgets.qt.region_table import RegionTable
from napari_deferredseg.widgets.viewer.region_outlines import RegionOutlines

GEOMETRY = Geometry(shape=(12, 20, 30), spacing=(1.0, 1.5, 2.0))
CASE = CaseRecord(key="case-1", geometry=GEOMETRY, voxel_hash="h", source="ct.nii")
TABLE = table_from_names({1: "liver"})
OWNERS = {"ada": "#e69f00", "ben": "#56b4e9"}
STATES = [State.OPEN, State.CLAIMED, State.SKIPPED, State.SUBMITTED]


def an_item(number: int, state: State = State.OPEN, reader: str = "ada") -> WorkItem:
    low = 3 * (number % 9)
    region = Region(
        id=f"{number:04x}",
        case_key=CASE.key,
        prediction_id="p",
        number=number,
        labels=(1,),
        box=((2, 6), (3, 9), (low, low + 3)),
        mask=np.ones((4, 6, 3), bool),
        volume=10.0,
        center=(4.0, 6.0, 4.0),
        gain=0.5,
        minutes=1.0,
    )
    return WorkItem(region, CASE, Assignment(region_id=region.id, reader=reader, state=state))


def rows_of(items) -> list[WorkRow]:
    return [WorkRow(item, f"about {item.region.number}") for item in items]


def texts(table: RegionTable) -> list[list[str]]:
    return [[table.item(row, column).text() for column in range(5)] for row in range(table.rowCount())]


LISTS = st.lists(st.tuples(st.integers(1, 8), st.sampled_from(STATES)), max_size=8, unique_by=lambda x: x[0])


@settings(deadline=None, max_examples=60, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(st.lists(st.tuples(LISTS, st.one_of(st.none(), st.integers(1, 8))), min_size=2, max_size=4))
def test_a_list_that_follows_is_the_list_made_anew(qtbot, steps):
    table = RegionTable()
    qtbot.addWidget(table)
    for described, here in steps:
        items = [an_item(number, state) for number, state in described]
        table.show_rows(rows_of(items))
        table.mark(None if here is None else f"{here:04x}")
        fresh = RegionTable()
        qtbot.addWidget(fresh)
        fresh.show_rows(rows_of(items))
        fresh.mark(None if here is None else f"{here:04x}")
        assert texts(table) == texts(fresh)
        selected = [[index.row() for index in x.selectionModel().selectedRows()] for x in (table, fresh)]
        assert selected[0] == selected[1]
        tips = [[x.item(row, 1).toolTip() for row in range(x.rowCount())] for x in (table, fresh)]
        assert tips[0] == tips[1]


@pytest.fixture
def outlines():
    items = [an_item(n, reader="ada" if n % 2 else "ben") for n in (1, 2, 3, 305)]
    frame = frame_of(GEOMETRY)
    return RegionOutlines(ViewerModel(), GEOMETRY.shape, frame, TABLE, OWNERS, items, {"affine": frame.affine}), items


def color_of(outlines, item) -> tuple[float, ...]:
    """Colour of a region in its middle, as napari maps it."""
    (z, _), (y, _), (x, _) = item.region.box
    value = outlines.layer.data[z + 1, y + 1, x + 1]
    return tuple(np.round(outlines.layer.colormap.map(np.array([value]))[0], 2))


def test_outlines_have_the_readers_colours_and_fade_beside_the_one_that_is_read(outlines):
    shown, items = outlines
    ada, ben = (0.9, 0.62, 0.0), (0.34, 0.71, 0.91)
    assert [color_of(shown, item) for item in items] == [(*ada, 1.0), (*ben, 1.0), (*ada, 1.0), (*ada, 1.0)]
    later = [
        an_item(1, State.SUBMITTED),
        *items[1:3],
        replace(items[3], assignment=items[3].assignment.model_copy(update={"reader": "ben"})),
    ]
    shown.show(later, later[1].region.id)
    white = (1.0, 1.0, 1.0, 1.0)
    assert [color_of(shown, item) for item in later] == [(*ada, 0.25), white, (*ada, 0.25), (*ben, 0.25)]
    shown.show([*later, an_item(301, reader="nobody here")], None)
    assert [color_of(shown, item) for item in later] == [(*ada, 0.25), (*ben, 1.0), (*ada, 1.0), (*ben, 1.0)]
    assert color_of(shown, an_item(301)) == white


def test_a_picked_region_stands_out_until_another_is_picked(outlines):
    shown, items = outlines
    ada, ben, white = (0.9, 0.62, 0.0), (0.34, 0.71, 0.91), (1.0, 1.0, 1.0, 1.0)
    shown.pick(items[1])
    assert [color_of(shown, item) for item in items] == [(*ada, 1.0), white, (*ada, 1.0), (*ada, 1.0)]
    assert shown.layer.features.set_index("region").loc[2, "index"] == shown.layer.data[3, 4, 7]
    shown.show(items, items[0].region.id)
    assert [color_of(shown, item) for item in items] == [white, (*ben, 1.0), (*ada, 0.25), (*ada, 0.25)]
    shown.show(items)
    shown.pick(None)
    assert [color_of(shown, item) for item in items] == [(*ada, 1.0), (*ben, 1.0), (*ada, 1.0), (*ada, 1.0)]


def test_a_point_of_the_picture_names_its_region_whatever_its_colour(outlines):
    shown, items = outlines
    for state in STATES:
        shown.show([an_item(item.region.number, state) for item in items], items[0].region.id)
        for item in items:
            inside = [low + 1 for low, _ in item.region.box]
            assert shown.at(shown.layer.data_to_world(inside)) == item.region.number
    assert shown.at(shown.layer.data_to_world((0, 0, 0))) == 0
    assert shown.at(shown.layer.data_to_world((-9, 0, 0))) == 0


def test_what_lies_on_top_stays_on_top(outlines):
    shown, items = outlines
    drawn = replace(items[0], region=replace(items[0].region, id="ff", number=9, mask=items[0].region.mask.copy()))
    drawn.region.mask[2:] = False
    drawn = replace(drawn, assignment=drawn.assignment.model_copy(update={"region_id": "ff"}))
    shown.show([*items, drawn])
    shown.show([an_item(1, State.SUBMITTED), *items[1:], drawn], "ff")
    numbers = {shown.at(shown.layer.data_to_world((z, 5, 4))) for z in (2, 3)}
    assert numbers == {9}
    assert shown.at(shown.layer.data_to_world((5, 5, 4))) == 1
    assert set(np.unique(shown.layer.data[slices(items[0].region.box)])) == {
        shown.layer.data[2, 5, 4],
        shown.layer.data[5, 5, 4],
    }


def test_the_features_say_who_has_what(outlines):
    shown, items = outlines
    later = [an_item(1, State.SUBMITTED), *items[1:]]
    shown.show(later)
    shown.describe(later)
    rows = shown.layer.features.set_index("index")
    for item in later:
        value = shown.layer.data[tuple(low + 1 for low, _ in item.region.box)]
        row = rows.loc[value]
        assert (row["region"], row["reader"], row["state"]) == (
            item.region.number,
            item.assignment.reader,
            item.assignment.state.value,
        )


def test_from_a_submission_to_the_next_region_is_told_once(desk):
    desk.sit_down()
    desk.open_row(1)
    desk.wait(lambda: desk.session.reading is not None)
    first = desk.session.reading.item.region.id
    told = []
    desk.session.events.reading.connect(lambda: told.append(desk.session.reading))
    desk.seat.answers.accept()
    assert desk.session.reading.item.region.id != first
    assert told == [desk.session.reading]
    assert desk.session.project.store.history(first)[0].verdict is Verdict.ACCEPTED
    desk.wait(lambda: any(row[-1] == "✓ done" for row in texts(desk.worklist.table)))
    listed = [row[1] for row in texts(desk.worklist.table)]
    assert len(listed) == len(set(listed))
