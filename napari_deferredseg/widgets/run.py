"""*Run deferral model*: a volume, what the AI said of it, how much to send to readers."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

from magicgui.widgets import CheckBox, ComboBox, Container, FileEdit, FloatSpinBox
from napari.layers import Image, Labels
from qtpy.QtWidgets import QFileDialog, QHBoxLayout, QLabel, QProgressBar, QPushButton

from napari_deferredseg.core.errors import InputError
from napari_deferredseg.routing.budget import Budget
from napari_deferredseg.usecases.run import ExternalInput, RunReport, run_external
from napari_deferredseg.widgets.background import in_background
from napari_deferredseg.widgets.panel import Choice, Panel, listen
from napari_deferredseg.widgets.series import choose_series
from napari_deferredseg.widgets.volume_layers import info_of

if TYPE_CHECKING:
    from napari.layers import Layer

    from napari_deferredseg.usecases.project import Project
    from napari_deferredseg.widgets.stage import Stage

IMAGES = "*.nii *.nii.gz *.nrrd *.nhdr *.mha *.mhd *.dcm"
UNITS = {
    "% of the AI mask": ("predicted-foreground", 0.01),
    "% of all voxels": ("voxels", 0.01),
    "minutes of reading": ("minutes", 1.0),
    "regions": ("regions", 1.0),
}
NOTHING = Path()


class RunPanel(Panel):
    """The engineer's and the lead's panel: from files to worklists."""

    def __init__(self, stage: Stage) -> None:
        super().__init__(stage)
        self.form = RunForm()
        self.from_layers = QPushButton("Take from open layers")
        self.from_layers.setToolTip("Fill in the files of the image and labels layers that are open")
        self.from_dicom = QPushButton("DICOM folder ...")
        self.from_dicom.setToolTip("The volume is a folder with the DICOM files of one series")
        self.run_button = QPushButton("Run")
        self.run_button.setDefault(True)
        self.progress = QProgressBar()
        self.progress.setRange(0, 100)
        self.progress.hide()
        self.result = QLabel()
        self.result.setWordWrap(True)
        self.cases = Choice()
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
        self.body.addWidget(self.form.native)
        self.body.addLayout(sources)
        for widget in (self.run_button, self.progress, self.result):
            self.body.addWidget(widget)
        self.body.addLayout(row)
        self.finish_layout()
        self.from_layers.clicked.connect(self.take_layers)
        self.from_dicom.clicked.connect(self._ask_dicom)
        self.run_button.clicked.connect(self.run)
        self.open_case.clicked.connect(self._show_case)
        listen(self, stage.session.events.project, self._list_cases)
        self._list_cases()
        self.take_layers()

    def take_layers(self) -> None:
        """Fill empty fields with the files of layers that are open."""
        layers = [layer for layer in self.stage.viewer.layers if _file_of(layer) is not None]
        images = [_file_of(x) for x in layers if isinstance(x, Image)]
        masks = [_file_of(x) for x in layers if isinstance(x, Labels)]
        self.form.suggest(images, masks)

    def _ask_dicom(self) -> None:
        chosen = QFileDialog.getExistingDirectory(self, "Choose the folder with the DICOM files of the volume")
        if chosen:
            self.form.volume.value = Path(chosen)

    def run(self) -> None:
        """Run with what the form says, in the background."""
        self.stage.attempt(self._start)

    def _start(self) -> None:
        project = self.session.need_project()
        if not project.store.readers():
            raise InputError("this project has no readers yet: add one with deferredseg reader add NAME --project ...")
        files, budget = self.form.files(), self.form.budget()
        files = replace(files, series=choose_series(files.volume, self))
        self._busy(True)
        in_background(
            lambda progress: run_external(project, files, budget, progress),
            done=self._done,
            failed=self._failed,
            progressed=self._progressed,
        )

    def _progressed(self, share: float, doing: str) -> None:
        self.progress.setValue(round(share * 100))
        self.progress.setFormat(f"{doing} (%p%)")

    def _failed(self, line: str) -> None:
        self._busy(False)
        self.stage.events.problem.emit(line)

    def _done(self, report: RunReport) -> None:
        self._busy(False)
        minutes = sum(region.minutes for region in report.regions)
        readers = len({a.reader or a.group for a in report.assignments})
        again = "" if report.new else " This very run was in the project already; nothing was changed."
        found = f"Nothing to review: {report.remark}."
        if report.regions:
            found = (
                f"{len(report.regions)} regions, {report.realised_share:.1%} of the AI's foreground, "
                f"about {minutes:.0f} min for {readers} readers. Open <i>My worklist</i> to start."
            )
        self.result.setText(found + again)
        self._list_cases()
        self.stage.open_case(report.case.key)

    def _busy(self, is_busy: bool) -> None:
        self.progress.setVisible(is_busy)
        self.progress.setValue(0)
        self.run_button.setEnabled(not is_busy)
        if is_busy:
            self.result.setText("")

    def _list_cases(self) -> None:
        project: Project | None = self.session.project
        self.cases.clear()
        for case in project.store.cases() if project is not None else ():
            self.cases.addItem(f"{case.key}  ({Path(case.source).name})", case.key)
        self.open_case.setEnabled(self.cases.count() > 0)

    def _show_case(self) -> None:
        self.stage.attempt(lambda: self.stage.open_case(self.cases.currentData()))


class RunForm(Container[Any]):
    """What to run on: files, and the budget with its unit."""

    def __init__(self) -> None:
        self.model = ComboBox(
            label="Model",
            choices=["external AI"],
            tooltip="An AI that ran elsewhere: its mask, and what to doubt it with",
        )
        self.volume = _file("Volume", "Image the AI segmented")
        self.first = _file("AI mask", "The mask under review")
        self.second = _file("Second mask", "Another AI's mask, or another run of the same")
        self.probabilities = _file("or probabilities", "In place of a second mask: the AI's class probabilities")
        self.amount = FloatSpinBox(label="Budget", value=10, min=0.1, max=10_000, step=1)
        self.unit = ComboBox(label="", choices=list(UNITS), value=next(iter(UNITS)))
        self.checked = CheckBox(
            text="Left and right checked",
            tooltip="Only for an image whose file does not say which side is which",
        )
        fields = [self.model, self.volume, self.first, self.second, self.probabilities, self.amount, self.unit]
        super().__init__(labels=True)
        self.extend([*fields, self.checked])  # afterwards, or the labels get different widths

    def files(self) -> ExternalInput:
        """Files as given. InputError when volume or mask is missing."""
        if self.volume.value == NOTHING or self.first.value == NOTHING:
            raise InputError("choose the volume and the AI's mask")
        given = [x.value for x in (self.first, self.second) if x.value != NOTHING]
        probabilities = None if self.probabilities.value == NOTHING else self.probabilities.value
        return ExternalInput(
            volume=self.volume.value,
            labels=tuple(given),
            probabilities=probabilities,
            orientation_checked=self.checked.value,
        )

    def budget(self) -> Budget:
        """Budget in its unit. InputError when it makes no sense."""
        unit, factor = UNITS[self.unit.value]
        return Budget.parse(f"{self.amount.value}%" if factor < 1 else f"{self.amount.value:g}", unit=unit)

    def suggest(self, images: list[Path | None], masks: list[Path | None]) -> None:
        """Fill the fields that are still empty."""
        for field, path in zip((self.volume, self.first, self.second), (*images[:1], *masks[:2]), strict=False):
            if path is not None and field.value == NOTHING:
                field.value = path


def _file(label: str, tooltip: str) -> FileEdit:
    field = FileEdit(label=label, mode="r", filter=f"Images ({IMAGES});;All files (*)", tooltip=tooltip)
    field.choose_btn.text = "..."
    return field


def _file_of(layer: Layer) -> Path | None:
    """File a layer was opened from."""
    info = info_of(layer)
    source = info.source if info is not None else layer.source.path
    return Path(source) if source and Path(source).exists() else None
