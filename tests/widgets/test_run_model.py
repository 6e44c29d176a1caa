"""A deferral model from the panel: the form, the process that runs it, cancelling, a process that dies."""

from __future__ import annotations

import hashlib
import itertools
import time
from dataclasses import replace

import numpy as np
import psutil
import pytest
import SimpleITK as sitk
from qtpy.QtCore import QPoint, Qt, QTimer
from qtpy.QtWidgets import QFileDialog, QLabel

from napari_deferredseg.core.boxes import slices
from napari_deferredseg.usecases.running.models import EXTERNAL, add_model
from napari_deferredseg.widgets.viewer.orientation import Plane, show_plane
from napari_deferredseg.widgets.viewer.volume_layers import info_of, label_colormap

WAIT = 120_000
GONE_WITHIN = 5.0


def workers() -> list[psutil.Process]:
    """Processes of ours that run models."""
    found = []
    for child in psutil.Process().children(recursive=True):
        try:
            if any("engine.worker" in word for word in child.cmdline()):
                found.append(child)
        except psutil.Error:
            continue
    return found


def tree(folder):
    return {
        p.relative_to(folder).as_posix(): hashlib.sha256(p.read_bytes()).hexdigest()
        for p in sorted(folder.rglob("*"))
        if p.is_file() and not p.name.endswith(("-wal", "-shm"))
    }


class Hand:
    """Somebody at the run panel, with the project of the scene open and the tiny model chosen from its folder."""

    def __init__(self, viewer, panel, qtbot, scene) -> None:
        self.viewer, self.panel, self.qtbot, self.scene = viewer, panel, qtbot, scene
        self.form = panel.form

    @property
    def notice(self) -> str:
        return self.panel.notice.text()

    def shown(self) -> list[str]:
        """Labels of the fields that can be seen."""
        self.qtbot.wait(20)
        return [x.label for x in self.form if x.native.isVisible() and x.label]

    def click(self, button) -> None:
        assert button.isEnabled()
        self.qtbot.mouseClick(button, Qt.MouseButton.LeftButton)

    def start(self) -> None:
        """Press Run and wait until a process runs the model."""
        self.click(self.panel.run_button)
        self.qtbot.waitUntil(lambda: bool(workers()), timeout=WAIT)

    def wait_for_end(self) -> None:
        self.qtbot.waitUntil(self.panel.run_button.isEnabled, timeout=WAIT)


@pytest.fixture
def hand(open_seat, qtbot, unread, tiny_model, monkeypatch) -> Hand:
    viewer, panels = open_seat()
    panel = panels["run"]
    panel.parent().raise_()
    panel.project_bar.open_folder(unread.folder)
    monkeypatch.setattr(QFileDialog, "getExistingDirectory", lambda *_: str(tiny_model))
    panel.form.model.value = "browse"
    panel.form.volume.value = unread.volume
    qtbot.wait(50)
    return Hand(viewer, panel, qtbot, unread)


def test_the_form_shows_what_the_model_needs(hand, monkeypatch, unread, tiny_model):
    assert hand.form.chosen.name == "tiny"
    assert "Device" in hand.shown()
    assert not {"AI mask", "Second mask", "or probabilities", "Channel 2"} & set(hand.shown())
    assert list(hand.panel.experts.people) == ["north", "south"]
    hand.form.model.value = "external"
    assert {"AI mask", "Second mask", "or probabilities"} <= set(hand.shown())
    assert "Device" not in hand.shown()
    assert not hand.panel.experts.isVisible()
    two = unread.root / "two"
    two.mkdir()
    text = (tiny_model / "model.json").read_text("utf-8")
    (two / "model.json").write_text(text.replace('"channels": 1', '"channels": 2').replace('"tiny"', '"two"'), "utf-8")
    monkeypatch.setattr(QFileDialog, "getExistingDirectory", lambda *_: str(two))
    hand.form.model.value = "browse"
    assert "Channel 2" in hand.shown()
    assert len(hand.form.companions) == 1
    monkeypatch.setattr(QFileDialog, "getExistingDirectory", lambda *_: str(unread.folder))
    hand.form.model.value = "browse"
    assert "no model folder" in hand.notice
    assert hand.form.chosen.name == "two"
    monkeypatch.setattr(QFileDialog, "getExistingDirectory", lambda *_: "")
    hand.form.model.value = "browse"
    assert hand.form.chosen.name == "two"
    added = add_model(hand.panel.session.project, tiny_model)
    hand.panel.project_bar.open_folder(unread.folder)
    assert [x for x in hand.form.model.choices if getattr(x, "name", "") == "tiny"] == [
        added,
        replace(added, folder=tiny_model),
    ]
    assert hand.form.chosen.name == "two"
    assert workers() == []


def test_only_shares_that_a_model_fixed_thresholds_for_are_cut_by_them(hand):
    unit = hand.form.unit
    assert [x for x in unit.choices if "validated" in x] == ["% of AI masks, as validated"]
    unit.value = "% of AI masks, as validated"
    hand.form.amount.value = 5
    assert str(hand.form.budget()) == "5 % of predicted foreground over many volumes"
    before = tree(hand.scene.folder)
    hand.form.amount.value = 7
    hand.click(hand.panel.run_button)
    hand.qtbot.waitUntil(lambda: "no threshold" in hand.notice, timeout=WAIT)
    assert "5 % of predicted foreground" in hand.notice
    assert tree(hand.scene.folder) == before
    assert workers() == []
    hand.form.model.value = "external"
    assert not [x for x in unit.choices if "validated" in x]
    assert hand.form.budget().mode == "per_volume_share"


def test_an_image_out_of_the_domain_runs_only_where_the_box_says_so(hand):
    assert "voxels (z, y, x): 3 x 1.25 x 1.5 mm" in hand.form.learned.value
    assert hand.form.outside.native.isVisible()
    image = sitk.ReadImage(str(hand.scene.volume))
    image.SetSpacing((1.5, 1.25, 9.0))
    thick = hand.scene.root / "thick.nii.gz"
    sitk.WriteImage(image, str(thick))
    hand.form.volume.value = thick
    hand.click(hand.panel.run_button)
    hand.qtbot.waitUntil(lambda: "is unlike what the model tiny learned from" in hand.notice, timeout=WAIT)
    assert workers() == []
    assert not hand.form.files().outside_domain
    box = hand.form.outside.native
    hand.qtbot.mouseClick(box, Qt.MouseButton.LeftButton, pos=QPoint(8, box.height() // 2))
    assert hand.form.files().outside_domain
    hand.form.volume.value = hand.scene.volume
    assert not hand.form.files().outside_domain, "it was said of the other image"
    hand.form.model.value = "external"
    hand.qtbot.wait(20)
    assert not hand.form.outside.native.isVisible()
    assert not hand.form.learned.native.isVisible()


def test_learned_reliability_is_off_until_its_purpose_is_stated(hand):
    experts = hand.panel.experts
    assert experts.value() is None
    assert not experts.purpose.isVisible()
    north = experts.people["north"]
    north.setCurrentIndex(north.findData("ben"))
    assert experts.purpose.isVisible()
    before = tree(hand.scene.folder)
    hand.click(hand.panel.run_button)
    assert "purpose" in hand.notice
    assert hand.panel.run_button.isEnabled()
    assert tree(hand.scene.folder) == before
    experts.purpose.setText("fewer misses")
    value = experts.value()
    assert (value.readers, value.purpose) == ({"north": "ben"}, "fewer misses")
    experts.setValue(None)
    assert experts.value() is None
    experts.setValue(value)
    assert experts.value() == value


def test_a_run_in_a_living_window_then_a_warm_one_then_nothing_is_left(hand, qtbot):
    ticks: list[float] = []
    timer = QTimer()
    timer.timeout.connect(lambda: ticks.append(time.perf_counter()))
    hand.start()
    timer.start(20)
    (worker,) = workers()
    assert hand.panel.progress.isVisible()
    assert hand.panel.cancel_button.isEnabled()
    qtbot.waitUntil(lambda: not hand.panel.progress.isVisible(), timeout=WAIT)
    timer.stop()
    assert max(b - a for a, b in itertools.pairwise(ticks)) < 1.0
    qtbot.waitUntil(lambda: hand.panel.session.case is not None, timeout=WAIT)
    assert "regions" in hand.panel.result.text()
    names = {layer.name for layer in hand.viewer.layers}
    assert {"AI mask", "Deferral map", "Regions by reader"} <= names
    columns = set(hand.panel.seat.layers.regions.features.columns)
    assert not columns & {"gain", "scores", "score"}
    hand.click(hand.panel.run_button)
    hand.wait_for_end()
    qtbot.waitUntil(lambda: "in the project already" in hand.panel.result.text(), timeout=WAIT)
    assert [x.pid for x in workers()] == [worker.pid]
    hand.viewer.close()
    qtbot.waitUntil(lambda: not workers(), timeout=10_000)
    assert not worker.is_running()


def test_a_run_on_the_case_on_the_screen_keeps_its_layers(hand, mouse, qtbot):
    panel, seat = hand.panel, hand.panel.seat
    model = hand.form.model.value
    hand.form.model.value = EXTERNAL
    hand.form.first.value, hand.form.second.value = hand.scene.first, hand.scene.second
    hand.click(panel.run_button)
    qtbot.waitUntil(lambda: panel.session.case is not None, timeout=WAIT)
    hand.form.model.value = model
    before, layers = panel.session.case, list(hand.viewer.layers)
    mine = hand.viewer.add_points([(1, 2, 3)])
    show_plane(hand.viewer, Plane.CORONAL)
    seat.layers.defer.visible = True
    hand.click(panel.run_button)
    qtbot.waitUntil(lambda: panel.session.case is not before, timeout=WAIT)
    case, shown = panel.session.case, seat.layers
    assert list(hand.viewer.layers) == [*layers, mine]
    assert hand.viewer.dims.order == (1, 0, 2)
    assert shown.defer.visible
    frame = shown.frame
    for layer, array in ((shown.ai, case.labels), (shown.defer, case.defer), (shown.correction, panel.session.work)):
        np.testing.assert_array_equal(layer.data, frame.view(array))
        assert info_of(layer).table == case.prediction.table
    assert shown.ai.colormap.map(1).tolist() == label_colormap(case.prediction.table).map(1).tolist()
    drawn = np.zeros(case.labels.shape, bool)
    for item in seat.items:
        drawn[slices(item.region.box)] |= item.region.mask
    np.testing.assert_array_equal(shown.regions.data != 0, frame.view(drawn))

    item = seat.items[0]
    panel.session.choose_reader(item.assignment.reader)
    panel.session.begin(item)
    seat.tools.pick(1)
    center = shown.center(item)
    panel.session.work[slices(item.region.box)] = 0
    mouse.click(hand.viewer, shown.correction, center)
    assert shown.correction.data[center] == 1
    journal = panel.session.project.journal
    qtbot.waitUntil(lambda: bool(journal.drafts(item.assignment.reader)), timeout=WAIT)
    (draft,) = journal.drafts(item.assignment.reader)
    np.testing.assert_array_equal(draft.after, panel.session.work[slices(draft.box)])


def test_cancel_and_kill_leave_nothing_behind_and_the_next_run_is_well(hand, qtbot):
    before = tree(hand.scene.folder)
    hand.start()
    asked = time.perf_counter()
    hand.click(hand.panel.cancel_button)
    hand.wait_for_end()
    assert time.perf_counter() - asked < GONE_WITHIN
    assert "Cancelled" in hand.notice
    assert tree(hand.scene.folder) == before
    hand.start()
    (worker,) = workers()
    worker.kill()
    hand.wait_for_end()
    assert "ended unexpectedly" in hand.notice
    assert len(hand.notice.splitlines()) == 1
    assert tree(hand.scene.folder) == before
    hand.click(hand.panel.run_button)
    hand.wait_for_end()
    qtbot.waitUntil(lambda: hand.panel.session.case is not None, timeout=WAIT)
    hand.panel.session.choose_reader("ben")
    for item in hand.panel.session.worklist()[:1]:
        hand.panel.session.begin(item)
        said = " ".join(x.text() for x in hand.panel.window().findChildren(QLabel)).casefold()
        assert "gain" not in said
        assert "score" not in said


def test_a_panel_closed_in_the_middle_of_a_run_leaves_no_process(hand, qtbot, open_seat):
    hand.start()
    hand.viewer.close()
    qtbot.waitUntil(lambda: not workers(), timeout=10_000)
