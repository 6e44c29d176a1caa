"""No text from data is shown as HTML, and nothing in it is hidden: every widget of every panel is looked at."""

from __future__ import annotations

import ast
import re
import unicodedata
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from napari.utils.notifications import notification_manager
from qtpy.QtCore import Qt, QTimer
from qtpy.QtGui import QTextDocument
from qtpy.QtWidgets import (
    QAbstractButton,
    QApplication,
    QComboBox,
    QInputDialog,
    QLabel,
    QMenu,
    QTableWidget,
    QWidget,
)

from napari_deferredseg.core.errors import InputError
from napari_deferredseg.core.geometry import Geometry
from napari_deferredseg.core.records import Reader, State
from napari_deferredseg.core.volume import Label, LabelTable, Volume, default_label
from napari_deferredseg.io.images import read_labels, read_volume
from napari_deferredseg.io.writing import write_labels, write_volume
from napari_deferredseg.usecases.project import init_project
from napari_deferredseg.usecases.reading.defer import Target, defer_drawn
from napari_deferredseg.usecases.running.models import InstalledModel
from napari_deferredseg.usecases.running.predict import predict_external
from napari_deferredseg.usecases.running.triage import recognised, triage
from napari_deferredseg.widgets.plugin.files import read_layers, write_labels_layer
from napari_deferredseg.widgets.qt import plain, series

TAG = "<b>x</b><img src=a.png>"
TURNED = "li\u202erev"  # reads as another word
NAMES = (TAG, "[bold]x[/] & <i>y</i>", "a & b &lt;u&gt;")
UNKNOWN = "<i>nowhere</i>"
RAW = re.compile(r"<b>x|<img|<i>y|<i>nowhere|\u202e")
OURS = {"b", "i", "a", "span", "table", "tr", "td", "p", "br"}


@pytest.fixture
def hostile(scene, tmp_path):
    """The scene with names that would be more than text; its project has labels from before there was a rule."""
    root = tmp_path / "<b>x<img src=a.png>"
    root.mkdir()
    made = replace(scene, root=root)
    table = LabelTable(labels=(Label(value=1, name=TAG, color=(9, 9, 9)), default_label(2, NAMES[1]), default_label(7)))
    for path in ("first.nii.gz", "second.nii.gz"):
        labels = read_labels(scene.root / path)
        write_labels(root / path, labels.array, labels.geometry, table)
    write_volume(made.volume, read_volume(scene.volume))
    with init_project(made.folder, name=TAG) as project:
        for login, name in zip(("ada", "ben", "lea"), NAMES, strict=True):
            project.store.add_reader(Reader(login=login, name=name, groups=(TAG,), specialities=(UNKNOWN,)))
        files = made.files
        volume, prediction = predict_external(files)
        kept = (*prediction.table.labels[:2], default_label(7, TURNED), default_label(8, NAMES[2]))
        told = replace(prediction, table=LabelTable(labels=kept), notes=(TAG,))
        triage(project, files, *recognised(project, files, volume, told))
        for item in project.store.items():
            project.store.assign(item.region.id, reader="ada", group=None, by="lea", note=TAG)
    return made


def letter_by_letter(text: str, form: Qt.TextFormat = Qt.TextFormat.AutoText) -> str:
    """What a reader sees of a text; an assertion fails where data in it is more than letters."""
    is_rich = form == Qt.TextFormat.RichText or (form == Qt.TextFormat.AutoText and Qt.mightBeRichText(text))  # type: ignore[attr-defined]
    assert not any(unicodedata.category(c) in ("Cc", "Cf") for c in text if c not in "\n"), repr(text)
    if not is_rich:
        return text
    assert not RAW.search(text), text
    assert {tag.casefold() for tag in re.findall(r"</?(\w+)", text)} <= OURS, text
    document = QTextDocument()
    document.setHtml(text)
    return document.toPlainText()


def seen(root: QWidget) -> list[str]:
    """Every text of a widget and of all in it, as a reader sees it."""
    texts = []
    for widget in (root, *root.findChildren(QWidget)):
        texts += [letter_by_letter(x) for x in (widget.toolTip(), widget.whatsThis(), widget.statusTip())]
        if isinstance(widget, QLabel):
            texts.append(letter_by_letter(widget.text(), widget.textFormat()))
        if isinstance(widget, QAbstractButton):
            texts.append(without_shortcuts(widget.text()))
        if isinstance(widget, QMenu):
            texts += [without_shortcuts(action.text()) for action in widget.actions()]
        if isinstance(widget, QComboBox):
            texts += [letter_by_letter(widget.itemText(i), Qt.TextFormat.PlainText) for i in range(widget.count())]
        if isinstance(widget, QTableWidget):
            cells = [widget.item(r, c) for r in range(widget.rowCount()) for c in range(widget.columnCount())]
            texts += [letter_by_letter(cell.text(), Qt.TextFormat.PlainText) for cell in cells]
            texts += [letter_by_letter(cell.toolTip()) for cell in cells]
    return texts


def without_shortcuts(text: str) -> str:
    assert "&" not in text.replace("&&", ""), text
    return letter_by_letter(text.replace("&&", "&"), Qt.TextFormat.PlainText)


def test_every_widget_shows_names_letter_by_letter(desk, hostile):
    panels, seat = desk.panels, desk.seat
    desk.open_project(hostile.folder)
    texts = seen(panels["worklist"])
    assert f"Project {TAG}" in texts
    assert set(NAMES) <= set(texts)
    desk.say_who("ada")
    desk.wait(lambda: desk.session.case is not None)
    desk.open_row(1)
    desk.settle()
    seat.picture.look_at(seat.items[1])
    for panel in panels.values():
        texts += seen(panel)
    about = [text for text in texts if text.startswith("Region 1")]
    assert any(TAG in text for text in about), about
    assert any(f"Paint {TAG}" == text for text in texts)
    assert any(TURNED.encode("unicode_escape").decode() in text for text in texts)
    assert any(text.startswith("Region 2") and f"With {NAMES[0]}" in text for text in texts)
    assert any(text.endswith(TAG) and "Click to open" in text for text in texts)
    for say in (seat.events.message, seat.events.problem, seat.events.busy):
        say.emit(f"{TAG} {TURNED}")
        assert f"{TAG} li\\u202erev" in seen(desk.worklist)
    what_napari_shows(desk)
    a_drawn_region_and_an_export(desk, hostile)
    seat.answers.decline(TAG)
    desk.settle()
    seat.picture.pick(next(x for x in seat.items if x.assignment.state is State.DECLINED))
    assert any(f"Declined by {TAG} ({TAG})" in text for text in seen(panels["defer"]))


def a_drawn_region_and_an_export(desk, hostile) -> None:
    """What a colleague wrote beside a region that they drew, and the folder that was exported to."""
    drawn = np.zeros(desk.session.case.labels.shape, bool)
    drawn[5:7, 8:12, 8:12] = True
    made = defer_drawn(desk.session.project, desk.session.case, drawn, Target(reader="ada"), "lea", f"{TAG} drawn")
    desk.session.events.worklist.emit()
    desk.settle()
    desk.seat.navigation.open_item(next(x for x in desk.session.worklist() if x.region.id == made.id))
    desk.wait(lambda: desk.number == made.number)
    assert any(f"{TAG} drawn" in text for text in seen(desk.worklist))
    export = desk.panels["export"]
    export.folder.value = hostile.root / "<img src=b.png>"
    desk.click(export.export_button)
    desk.wait(lambda: "Masks written: 1" in export.result.text())
    assert any("<img src=b.png>" in text for text in seen(export))


def what_napari_shows(desk) -> None:
    """Names of layers, their tooltips and the status bar are napari's own labels, which guess."""
    for layer in desk.viewer.layers:
        features = layer.features.to_numpy().ravel() if hasattr(layer, "features") else ()
        for text in (layer.name, layer.get_source_str(), *map(str, features)):
            assert letter_by_letter(text) == text
            assert "<" not in text
    world = desk.seat.layers.frame.world(desk.seat.layers.center(desk.seat.items[0]))
    status = desk.seat.layers.regions.get_status(tuple(world), world=True)
    assert "‹img" in " ".join(map(str, status.values()))


def test_the_run_panel_shows_models_and_cautions_letter_by_letter(desk, hostile, qtbot):
    run = desk.panels["run"]
    desk.open_project(hostile.folder)
    model = InstalledModel(TAG, hostile.root, (TAG, NAMES[1]), NAMES, 1, False, values=(1, 2), prompted=True)
    run.form.offer([model], model)
    texts = seen(run)
    assert TAG in texts
    assert NAMES[2] in texts
    run.form.offer([], None)
    run.form.volume.value, run.form.first.value, run.form.second.value = hostile.volume, hostile.first, hostile.second
    desk.click(run.run_button)
    desk.wait(lambda: run.run_button.isEnabled())
    assert any(f"No label here is called {UNKNOWN}" in text for text in seen(run))
    desk.wait(lambda: desk.session.case is not None)
    run.form.volume.value = hostile.root / "<img src=a.png>.nii.gz"
    desk.click(run.run_button)
    desk.wait(lambda: "there is no such file" in run.notice.text())
    assert any("<img src=a.png>.nii.gz" in text for text in seen(run))


def test_questions_and_notifications_show_names_letter_by_letter(desk, tmp_path, monkeypatch):
    monkeypatch.setattr(series, "list_series", lambda path: [TAG, TURNED])
    folder = tmp_path / "<b>x<img src=a.png>"
    folder.mkdir()
    found = []

    def look():
        (dialog,) = [w for w in QApplication.topLevelWidgets() if isinstance(w, QInputDialog) and w.isVisible()]
        found.extend(seen(dialog))
        dialog.reject()

    QTimer.singleShot(50, look)
    with pytest.raises(InputError):
        series.choose_series(folder, desk.worklist)
    assert {TAG, "li\\u202erev"} <= set(found)
    assert any(text.startswith(f"{folder.name} holds 2 series") for text in found)
    notification_manager.records.clear()
    read_layers(str(folder / "none.nii.gz"))
    (told,) = notification_manager.records
    assert folder.name in letter_by_letter(told.message)
    notification_manager.records.clear()


def test_what_cannot_be_written_is_told_letter_by_letter(tmp_path):
    with pytest.raises(InputError) as told:
        write_labels_layer(str(tmp_path / f"{TAG}.nii.gz"), np.zeros((2, 3, 4), np.uint8), {"name": TAG})
    assert f"the layer '{TAG}' has no grid" in letter_by_letter(str(told.value))


WIDGETS = sorted(Path(plain.__file__).parent.glob("*.py"))


@pytest.mark.parametrize("path", [x for x in WIDGETS if x.name != "plain.py"], ids=lambda x: x.name)
def test_labels_that_may_show_data_say_how(path):
    """A bare QLabel guesses: it is for words of ours alone."""
    for call in (x for x in ast.walk(ast.parse(path.read_text("utf-8"))) if isinstance(x, ast.Call)):
        if isinstance(call.func, ast.Name) and call.func.id == "QLabel":
            (words,) = call.args
            assert isinstance(words, ast.Constant) or (isinstance(words, ast.Name) and words.id.isupper())


def test_layers_of_files_have_names_that_nothing_takes_for_html(tmp_path):
    path = tmp_path / "<b>x<img src=a.png>.nii.gz"
    grid = Geometry(shape=(2, 3, 4), spacing=(1, 1, 1))
    write_volume(path, Volume(np.zeros(grid.shape, np.float32), grid, "x"))
    ((_, options, _),) = read_layers(str(path))
    assert not Qt.mightBeRichText(options["name"])  # type: ignore[attr-defined]
    assert "‹img src=a.png›" in options["name"]
