"""*Run deferral model*: a model or what an AI said elsewhere, a volume, how much to send to readers."""

from __future__ import annotations

from dataclasses import replace
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING

from napari.layers import Image, Labels, Shapes
from qtpy.QtCore import QTimer
from qtpy.QtWidgets import QFileDialog, QHBoxLayout, QLabel, QProgressBar, QPushButton

from napari_deferredseg.core.errors import InputError
from napari_deferredseg.core.names import visible
from napari_deferredseg.routing.assign import why_nobody
from napari_deferredseg.usecases.running.models import InstalledModel, describe_model, list_models
from napari_deferredseg.usecases.running.predict import ExternalInput, ModelInput
from napari_deferredseg.usecases.running.run import regions_in, run_external, run_model
from napari_deferredseg.widgets.panels.panel import Panel
from napari_deferredseg.widgets.panels.run_form import BROWSE, NO_BOXES, ExpertTable, RunForm
from napari_deferredseg.widgets.panels.who_bar import WhoBar
from napari_deferredseg.widgets.qt.background import in_background
from napari_deferredseg.widgets.qt.fields import QuietComboBox, leave_keys_to_viewer
from napari_deferredseg.widgets.qt.listening import listen
from napari_deferredseg.widgets.qt.plain import RichLabel, escaped
from napari_deferredseg.widgets.qt.series import choose_series
from napari_deferredseg.widgets.seat.inference import Stop
from napari_deferredseg.widgets.viewer.drawn_boxes import LABEL, add_boxes, drawn_boxes
from napari_deferredseg.widgets.viewer.volume_layers import in_place, info_of

if TYPE_CHECKING:
    from collections.abc import Callable

    from napari.layers import Layer

    from napari_deferredseg.core.progress import Progress
    from napari_deferredseg.usecases.project import Project
    from napari_deferredseg.usecases.running.triage import RunReport
    from napari_deferredseg.widgets.seat.seat import Seat
    from napari_deferredseg.widgets.viewer.volume_layers import LayerInfo

PATIENCE_MS = 1000
"""How long a cancelled run may take to end by itself before the model's process is ended."""


class RunPanel(Panel):
    """The engineer's and the lead's panel: from files to worklists."""

    TITLE = "Run"

    def __init__(self, seat: Seat) -> None:
        super().__init__(seat)
        bar = WhoBar(seat)
        self.who = bar.choice
        self.form = RunForm()
        self.experts = ExpertTable()
        self.from_layers = QPushButton("Take from open layers")
        self.from_layers.setToolTip("Fill in the files of the image and labels layers that are open")
        self.from_dicom = QPushButton("DICOM folder ...")
        self.from_dicom.setToolTip("The volume is a folder with the DICOM files of one series")
        self.draw_button = QPushButton("Draw boxes")
        self.draw_button.setToolTip("New layer to draw a rectangle around each structure, in slices of the volume")
        self.run_button = QPushButton("Run")
        self.run_button.setDefault(True)
        self.progress = QProgressBar()
        self.progress.setRange(0, 100)
        self.cancel_button = QPushButton("Cancel")
        self.cancel_button.setToolTip("Stop the run; nothing is kept of it")
        self.progress.hide()
        self.cancel_button.hide()
        self.result = RichLabel()
        self.cases = QuietComboBox()
        self.cases.setMinimumContentsLength(12)
        self.cases.setToolTip("Cases of this project")
        self.open_case = QPushButton("Show")
        row = QHBoxLayout()
        row.addWidget(QLabel("Case"))
        row.addWidget(self.cases, 1)
        row.addWidget(self.open_case)
        sources = QHBoxLayout()
        sources.addWidget(self.from_layers)
        sources.addWidget(self.from_dicom)
        self.body.addWidget(bar)
        self.body.addWidget(self.form.native)
        self.body.addLayout(sources)
        self.body.addWidget(self.draw_button)
        working = QHBoxLayout()
        working.addWidget(self.progress, 1)
        working.addWidget(self.cancel_button)
        self.body.addWidget(self.experts)
        self.body.addWidget(self.run_button)
        self.body.addLayout(working)
        self.body.addWidget(self.result)
        self.body.addLayout(row)
        self.finish_layout()
        self.from_layers.clicked.connect(lambda: self.seat.attempt(self._take_layers))
        self.from_dicom.clicked.connect(self._ask_dicom)
        self.draw_button.clicked.connect(self.draw)
        self.run_button.clicked.connect(self.run)
        self.cancel_button.clicked.connect(self.cancel)
        self.open_case.clicked.connect(self._show_case)
        self._browsed: list[InstalledModel] = []
        self._model: InstalledModel | None = None
        self._stop = Stop()
        self._is_busy = False
        self.form.model.changed.connect(self._on_model)
        self.form.about.changed.connect(self._on_about)
        listen(self, seat.session.events.project, self._on_project)
        for event in (seat.viewer.layers.events.inserted, seat.viewer.layers.events.removed):
            listen(self, event, lambda *_: self._offer_boxes())
        self._on_project()
        self._offer_boxes()
        self.take_layers()

    def take_layers(self) -> None:
        """Fill empty fields with the files of layers that are open."""
        layers = [layer for layer in self.seat.viewer.layers if _file_of(layer) is not None]
        images = [_file_of(x) for x in layers if isinstance(x, Image)]
        masks = [_file_of(x) for x in layers if isinstance(x, Labels)]
        self.form.suggest(images, masks)

    def _take_layers(self) -> None:
        found = [layer for layer in self.seat.viewer.layers if isinstance(layer, (Image, Labels))]
        if not found:
            raise InputError("no image is open: open the volume and the AI's mask first")
        if all(_file_of(layer) is None for layer in found):
            raise InputError("these layers come from no file: save them first")
        self.take_layers()

    def _ask_dicom(self) -> None:
        chosen = QFileDialog.getExistingDirectory(self, "Choose the folder with the DICOM files of the volume")
        if chosen:
            self.form.volume.value = Path(chosen)

    def run(self) -> None:
        """Run with what the form says, in the background."""
        self.seat.attempt(self._start)

    def draw(self) -> None:
        """Add a layer for boxes to the volume that is shown."""
        self.seat.attempt(self._draw)

    def _draw(self) -> None:
        layer = add_boxes(self.seat.viewer, self._shown(), self.form.about.choices[0])
        self.form.boxes.value = layer.name
        self._on_about()
        self.seat.events.message.emit("Draw a rectangle around each structure, then run.")

    def _on_about(self) -> None:
        """Boxes that are drawn next are about another label."""
        name, label = self.form.boxes.value, self.form.about.value
        if label is not None and name in self.seat.viewer.layers:
            self.seat.viewer.layers[name].feature_defaults = {LABEL: label}

    def cancel(self) -> None:
        """Stop the run; the model's process is ended where it does not stop by itself."""
        self._stop.ask()
        self.cancel_button.setEnabled(False)
        self.progress.setFormat("cancelling")
        QTimer.singleShot(PATIENCE_MS, partial(self._insist, self._stop))

    def _insist(self, stop: Stop) -> None:
        if stop is self._stop and self._is_busy:
            self.seat.inference.drop()

    def _start(self) -> None:
        project = self.session.need_project()
        if why := why_nobody(self.session.readers()):
            raise InputError(f"{why}. Add one, or change that, under Defer to expert, Readers ...")
        work = self._work(project)
        self._stop = stop = Stop()
        self.destroyed.connect(stop.ask)
        self._busy(True)
        in_background(
            lambda progress: (project, work(stop.cancellable(progress))),
            done=self._done,
            failed=self._failed,
            cancelled=self._cancelled,
            progressed=self._progressed,
        )

    def _work(self, project: Project) -> Callable[[Progress], RunReport]:
        """What the form asks for, to be done in the background. InputError when something is missing."""
        files, budget = self.form.files(), self.form.budget()
        files = replace(files, series=choose_series(files.volume, self))
        if isinstance(files, ModelInput):
            files = self._with_boxes(files)
        engine = self.seat.inference.engine()
        if isinstance(files, ExternalInput):
            return partial(run_external, project, files, budget, make=regions_in(engine), by=self.session.actor())
        return partial(run_model, project, files, engine, budget, self.experts.value(), by=self.session.actor())

    def _with_boxes(self, files: ModelInput) -> ModelInput:
        """Files with the boxes of the chosen layer, where the model needs some. InputError as `drawn_boxes`."""
        model, name = self.form.chosen, self.form.boxes.value
        if model is None or not model.prompted or name == NO_BOXES:
            return files
        if name not in self.seat.viewer.layers:
            self._offer_boxes()
            raise InputError(f"there is no layer {name} any more: choose the one with the boxes again")
        on = self._shown()
        boxes = drawn_boxes(self.seat.viewer.layers[name], on, model)
        return replace(files, boxes=boxes, drawn_on=on.geometry)

    def _shown(self) -> LayerInfo:
        """Where the chosen volume is shown. InputError when it is not."""
        volume = self.form.volume.value
        shown = [x for x in self.seat.viewer.layers if _file_of(x) == volume and info_of(x) is not None]
        if not shown:
            raise InputError(f"{volume} is not shown: open it, and draw the boxes on it")
        here = next((x for x in shown if in_place(x)), None)
        if here is None or (on := info_of(here)) is None:
            raise InputError(f"the layer {shown[0].name} was moved: open {volume} again, and draw the boxes on it")
        return on

    def _offer_boxes(self) -> None:
        self.form.offer_boxes([layer.name for layer in self.seat.viewer.layers if isinstance(layer, Shapes)])

    def _progressed(self, share: float, doing: str) -> None:
        if not self._stop.asked:
            self.progress.setValue(round(share * 100))
            self.progress.setFormat(f"{visible(doing)} (%p%)")

    def _failed(self, line: str) -> None:
        self._busy(False)
        self.seat.events.problem.emit(line)

    def _cancelled(self, line: str) -> None:
        self._busy(False)
        self.seat.events.message.emit("Cancelled: nothing was kept of this run.")

    def _done(self, outcome: tuple[Project, RunReport]) -> None:
        project, report = outcome
        self._busy(False)
        self.result.setText(_outcome(report))
        if self.session.project is project:
            self._list_cases()
            self.seat.navigation.open_case(report.case.key)

    def _busy(self, is_busy: bool) -> None:
        self._is_busy = is_busy
        for widget in (self.progress, self.cancel_button):
            widget.setVisible(is_busy)
        self.progress.setValue(0)
        self.progress.setFormat("starting")
        self.cancel_button.setEnabled(is_busy)
        self.run_button.setEnabled(not is_busy)
        if is_busy:
            self.result.setText("")

    def _on_project(self) -> None:
        self._list_models(self._model)
        self._list_cases()

    def _list_models(self, chosen: InstalledModel | None) -> None:
        known = list_models(self.session.project)
        self.form.offer([*known, *(x for x in self._browsed if x not in known)], chosen)

    def _on_model(self) -> None:
        """Show what the chosen model needs, or ask for its folder first."""
        if self.form.model.value == BROWSE:
            self._browse()
            return
        self._model = self.form.chosen
        readers = [x for x in self.session.readers() if x.is_routed_to]
        self.experts.show_channels(self._model.experts if self._model is not None else (), readers)
        self.draw_button.setVisible(self._model is not None and self._model.prompted)
        leave_keys_to_viewer(self)

    def _browse(self) -> None:
        folder = QFileDialog.getExistingDirectory(self, "Choose the folder of a model, made by deferredseg train")
        chosen = self._model
        if folder and self.seat.attempt(lambda: self._browsed.append(describe_model(Path(folder)))):
            chosen = self._browsed[-1]
        self._list_models(chosen)

    def _list_cases(self) -> None:
        self.cases.clear()
        for case in self.session.cases():
            self.cases.addItem(visible(f"{case.key}  ({case.file})"), case.key)
        self.open_case.setEnabled(self.cases.count() > 0)

    def _show_case(self) -> None:
        self.seat.attempt(lambda: self.seat.navigation.open_case(self.cases.currentData()))


def _outcome(report: RunReport) -> str:
    again = "" if report.new else " This very run was in the project already; nothing was changed."
    cautions = " ".join(map(escaped, report.cautions))
    account = escaped(report.account[:1].upper() + report.account[1:])
    if not report.regions:
        return f"No regions. {account}. {cautions}{again}"
    readers = len({a.reader or a.group for a in report.assignments})
    return f"{report} for {readers} readers. {account}. {cautions} Open <i>My worklist</i> to start.{again}"


def _file_of(layer: Layer) -> Path | None:
    """File a layer was opened from."""
    info = info_of(layer)
    source = info.source if info is not None else layer.source.path
    return Path(source) if source and Path(source).exists() else None
