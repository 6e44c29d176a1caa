"""A real CT with two AI masks, three readers at the screen, corrected labels on the source grid."""

from __future__ import annotations

import numpy as np
import pytest
import SimpleITK as sitk
from qtpy.QtCore import Qt

from napari_deferredseg.core.boxes import slices
from napari_deferredseg.core.records import Reader, State, Verdict
from napari_deferredseg.usecases.project import init_project, open_project
from napari_deferredseg.widgets.panels.worklist import WorklistPanel

READERS = (
    Reader(login="ada", name="Ada", capacity=20),
    Reader(login="ben", name="Ben", capacity=40),
    Reader(login="chen", name="Chen", capacity=60),
)
WAIT = 60_000


@pytest.fixture
def project(tmp_path):
    folder = tmp_path / "project"
    with init_project(folder) as made:
        for reader in READERS:
            made.store.add_reader(reader)
    return folder


def run_model(panels, qtbot, folder, data) -> None:
    run = panels["run"]
    run.project_bar.open_folder(folder)
    run.form.volume.value = data / "abdomen_ct" / "ct_small.nii.gz"
    run.form.first.value = data / "abdomen_ct" / "ct_small_ai_mask_a.nii.gz"
    run.form.second.value = data / "abdomen_ct" / "ct_small_ai_mask_b.nii.gz"
    qtbot.mouseClick(run.run_button, Qt.MouseButton.LeftButton)
    qtbot.waitUntil(lambda: run.session.case is not None, timeout=WAIT)


def say_who(worklist: WorklistPanel, name: str) -> None:
    index = worklist.who.findText(name)
    worklist.who.setCurrentIndex(index)
    worklist.who.activated.emit(index)


def open_first(worklist: WorklistPanel, qtbot) -> None:
    worklist.table.cellClicked.emit(0, 1)
    qtbot.waitUntil(lambda: worklist.session.reading is not None, timeout=WAIT)


def in_slice(seat, offset: tuple[int, int]) -> tuple[int, int, int]:
    """View index of a voxel beside the middle of the open region, in the slice on the screen."""
    item = seat.session.reading.item
    center = seat.layers.frame.to_view(np.round(item.case.geometry.index(item.region.center)).astype(int))
    return int(center[0]), int(center[1]) + offset[0], int(center[2]) + offset[1]


def export(panels, qtbot, folder):
    panel = panels["export"]
    panel.folder.value = folder
    qtbot.mouseClick(panel.export_button, Qt.MouseButton.LeftButton)
    qtbot.waitUntil(lambda: bool(panel.result.text()), timeout=WAIT)
    (mask,) = folder.glob("*.nii.gz")
    return sitk.ReadImage(str(mask))


def assert_same_grid(image: sitk.Image, source: sitk.Image) -> None:
    assert image.GetSize() == source.GetSize()
    np.testing.assert_allclose(image.GetSpacing(), source.GetSpacing(), rtol=0, atol=1e-6)
    np.testing.assert_allclose(image.GetOrigin(), source.GetOrigin(), rtol=0, atol=1e-6)
    np.testing.assert_allclose(image.GetDirection(), source.GetDirection(), rtol=0, atol=1e-6)


def test_three_readers_correct_a_ct(open_seat, mouse, qtbot, project, data, tmp_path):
    viewer, panels = open_seat()
    run_model(panels, qtbot, project, data)
    worklist = panels["worklist"]
    seat, session = worklist.seat, worklist.session
    source = sitk.ReadImage(str(data / "abdomen_ct" / "ct_small.nii.gz"))
    mask_a = sitk.GetArrayFromImage(sitk.ReadImage(str(data / "abdomen_ct" / "ct_small_ai_mask_a.nii.gz")))
    untouched = export(panels, qtbot, tmp_path / "before")
    assert_same_grid(untouched, source)
    np.testing.assert_array_equal(sitk.GetArrayFromImage(untouched), mask_a)

    minutes = {r.login: 0.0 for r in READERS}
    for item in session.project.store.items():
        minutes[item.assignment.reader] += item.region.minutes
    shares = [minutes[r.login] / r.capacity for r in READERS]
    assert max(shares) - min(shares) < 0.1

    painted = mask_a.copy()
    for number, reader in enumerate(READERS):
        say_who(worklist, reader.name)
        open_first(worklist, qtbot)
        assert all(x.assignment.reader == reader.login for x in session.worklist())
        region = session.reading.item.region
        seat.tools.pick(40 + number)
        before = session.work.copy()
        start, end = in_slice(seat, (0, 0)), in_slice(seat, (3, 4))
        mouse.stroke(viewer, seat.layers.correction, [start, end])
        changed = session.work != before
        assert changed.any()
        assert set(np.unique(session.work[changed])) == {40 + number}
        assert {int(z) for z in np.nonzero(changed)[seat.layers.frame.axes[0]]} == {start[0]}
        painted[changed] = 40 + number
        qtbot.mouseClick(worklist.region.buttons.submit, Qt.MouseButton.LeftButton)
        assert region.id in {c.region_id for c in session.project.store.corrections(reader=reader.login)}
        qtbot.waitUntil(lambda: session.reading is not None, timeout=WAIT)
        assert session.reading.item.region.id != region.id
        mouse.native(viewer).setFocus()
        qtbot.keyClick(mouse.native(viewer), Qt.Key.Key_K)
    verdicts = [c.verdict for c in session.project.store.corrections()]
    assert sorted(verdicts) == [Verdict.ACCEPTED] * 3 + [Verdict.EDITED] * 3

    corrected = export(panels, qtbot, tmp_path / "after")
    assert_same_grid(corrected, source)
    exported = sitk.GetArrayFromImage(corrected)
    supports = np.zeros(mask_a.shape, int)
    for correction in session.project.store.corrections():
        supports[slices(correction.box)] += correction.support
    alone = supports < 2  # where two answer for a voxel, one of them is believed
    np.testing.assert_array_equal(exported[alone], painted[alone])
    assert (exported != mask_a)[alone].any()
    np.testing.assert_array_equal(exported[supports == 0], mask_a[supports == 0])
    assert not session.project.store.verify()


def test_undo_never_reaches_into_an_earlier_region(open_seat, mouse, qtbot, project, data):
    viewer, panels = open_seat()
    run_model(panels, qtbot, project, data)
    worklist = panels["worklist"]
    seat, session = worklist.seat, worklist.session
    say_who(worklist, "Chen")
    open_first(worklist, qtbot)
    first = session.reading.item.region
    seat.tools.pick(77)
    mouse.stroke(viewer, seat.layers.correction, [in_slice(seat, (0, 0)), in_slice(seat, (2, 2))])
    assert session.reading.changed_voxels
    qtbot.mouseClick(worklist.region.buttons.next, Qt.MouseButton.LeftButton)
    assert session.reading.item.region.id != first.id
    second = session.work.copy()
    for _ in range(3):
        qtbot.keyClick(mouse.native(viewer), Qt.Key.Key_Z, Qt.KeyboardModifier.ControlModifier)
    np.testing.assert_array_equal(session.work, second)

    seat.tools.pick(66)
    mouse.stroke(viewer, seat.layers.correction, [in_slice(seat, (0, 0)), in_slice(seat, (1, 1))])
    assert session.reading.changed_voxels
    for _ in range(4):
        qtbot.keyClick(mouse.native(viewer), Qt.Key.Key_Z, Qt.KeyboardModifier.ControlModifier)
    np.testing.assert_array_equal(session.work, second)

    qtbot.mouseClick(worklist.region.buttons.previous, Qt.MouseButton.LeftButton)
    assert session.reading.item.region.id == first.id
    assert session.reading.recovered
    assert 77 in session.reading.after


def test_a_lead_sends_a_region_to_somebody_else(open_seat, mouse, qtbot, project, data):
    viewer, panels = open_seat()
    run_model(panels, qtbot, project, data)
    defer = panels["defer"]
    seat, store = defer.seat, defer.session.project.store
    item = next(x for x in seat.items if x.assignment.reader == "ben")
    seat.picture.jump_to(item)
    inside = np.argwhere(item.region.mask)[len(np.argwhere(item.region.mask)) // 2] + [lo for lo, _ in item.region.box]
    view = seat.layers.frame.to_view(inside)
    viewer.dims.set_point(0, float(seat.layers.regions.data_to_world(view)[0]))
    mouse.click(viewer, seat.layers.regions, tuple(int(i) for i in view))
    assert f"Region {item.region.number}" in defer.what.text()
    defer.to.setCurrentIndex(defer.to.findText("Ada"))
    defer.note.setText("the border to the stomach")
    qtbot.mouseClick(defer.send, Qt.MouseButton.LeftButton)
    assert "say who you are first" in defer.notice.text()
    say_who(defer, "Chen")
    qtbot.mouseClick(defer.send, Qt.MouseButton.LeftButton)
    held = next(x.assignment for x in store.items() if x.region.id == item.region.id)
    assert (held.reader, held.state, held.assigned_by) == ("ada", State.OPEN, "chen")
    assert "Ada" in defer.notice.text()
    worklist = panels["worklist"]
    assert worklist.who.currentText() == "Chen"
    say_who(worklist, "Ada")
    seat.navigation.open_item(next(x for x in worklist.session.worklist() if x.region.id == item.region.id))
    assert "the border to the stomach (chen)" in worklist.region.title.text()
    row = seat.layers.regions.features.set_index("region").loc[item.region.number]
    assert row["note"] == "the border to the stomach"


def test_a_drawn_region_goes_to_whom_the_router_chooses(open_seat, mouse, qtbot, project, data):
    viewer, panels = open_seat()
    run_model(panels, qtbot, project, data)
    defer = panels["defer"]
    store = defer.session.project.store
    known = {x.region.id for x in store.items()}
    say_who(defer, "Chen")
    defer.draw.setChecked(True)
    drawn = viewer.layers["New region"]
    drawn.mode = "paint"
    drawn.brush_size = 6
    step = viewer.dims.current_step[0]
    middle = np.round(drawn.world_to_data((viewer.dims.point[0], *viewer.scene.camera.center[1:]))).astype(int)
    mouse.stroke(viewer, drawn, [(int(middle[0]), *map(int, middle[1:])), (int(middle[0]), *map(int, middle[1:] + 2))])
    assert viewer.dims.current_step[0] == step
    qtbot.mouseClick(defer.send, Qt.MouseButton.LeftButton)
    (new,) = [x for x in store.items() if x.region.id not in known]
    assert new.assignment.reader in {r.login for r in READERS}
    assert new.region.mask.sum() > 10
    assert "New region" not in viewer.layers


def test_a_second_start_finds_everything(open_seat, qtbot, project, data):
    _, panels = open_seat()
    run_model(panels, qtbot, project, data)
    say_who(panels["worklist"], "Ben")
    rows = panels["worklist"].table.rowCount()
    assert rows > 0
    panels["worklist"].seat.session.close()
    assert panels["worklist"].table.rowCount() == 0
    with open_project(project) as again:
        assert len(again.store.items()) >= rows


def test_a_polygon_is_saved_at_once_and_submitted_whole(open_seat, mouse, qtbot, project, data):
    """napari tells of a polygon before it writes it, and this one reaches far out of the region."""
    viewer, panels = open_seat()
    run_model(panels, qtbot, project, data)
    worklist = panels["worklist"]
    seat, session = worklist.seat, worklist.session
    say_who(worklist, "Ben")
    open_first(worklist, qtbot)
    region = session.reading.item.region
    before = session.work.copy()
    seat.tools.pick(55, "polygon")
    corners = [in_slice(seat, offset) for offset in ((-9, -9), (-9, 9), (9, 9))]
    for corner in corners:
        mouse.click(viewer, seat.layers.correction, corner)
    qtbot.keyClick(mouse.native(viewer), Qt.Key.Key_Return)
    drawn = session.work != before
    assert drawn.sum() > 60
    assert set(np.argwhere(seat.layers.frame.view(drawn))[:, 0]) == {corners[0][0]}
    qtbot.waitUntil(lambda: session.project.journal.load("ben", region.id) is not None, timeout=1000)
    draft = session.project.journal.load("ben", region.id)
    assert (draft.after != draft.before).sum() == drawn.sum()
    qtbot.mouseClick(worklist.region.buttons.submit, Qt.MouseButton.LeftButton)
    (correction,) = session.project.store.corrections(reader="ben")
    assert (correction.before != correction.after).sum() == drawn.sum()
    np.testing.assert_array_equal(session.work[drawn], 55)
