"""*Export labels*: the AI's masks with the readers' corrections, to look at or to train with."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any

from magicgui.widgets import CheckBox, ComboBox, Container, FileEdit, FloatSpinBox, LineEdit, SpinBox
from qtpy.QtWidgets import QProgressBar, QPushButton

from napari_deferredseg.core.errors import InputError
from napari_deferredseg.usecases.export import FORMATS, Exported, export_cases, make_exporter
from napari_deferredseg.widgets.panels.panel import Panel
from napari_deferredseg.widgets.panels.who_bar import WhoBar
from napari_deferredseg.widgets.qt.background import in_background
from napari_deferredseg.widgets.qt.listening import listen
from napari_deferredseg.widgets.qt.plain import PlainLabel

if TYPE_CHECKING:
    from napari_deferredseg.widgets.seat.seat import Seat

EVERY = "all cases"


class ExportPanel(Panel):
    """Choose cases, format with its options, and folder. `options` holds, for each format, a field for each option."""

    TITLE = "Export"

    def __init__(self, seat: Seat) -> None:
        super().__init__(seat)
        bar = WhoBar(seat)
        self.who = bar.choice
        self.case = ComboBox(label="Case", choices=[EVERY])
        self.form = ComboBox(label="Format", choices=list(FORMATS))
        self.folder = FileEdit(label="Folder", mode="d")
        self.folder.choose_btn.text = "..."
        self.options = _option_fields()
        fields = Container(labels=True)
        extra = [field for group in self.options.values() for field in group.values()]
        fields.extend([self.case, self.form, *extra, self.folder])  # afterwards, or the labels get different widths
        self.export_button = QPushButton("Export")
        self.progress = QProgressBar()
        self.progress.setRange(0, 100)
        self.progress.hide()
        self.result = PlainLabel()
        self.result.setWordWrap(True)
        self.body.addWidget(bar)
        self.body.addWidget(fields.native)
        for widget in (self.export_button, self.progress, self.result):
            self.body.addWidget(widget)
        self.finish_layout()
        self._fields = fields
        self.export_button.clicked.connect(lambda: seat.attempt(self.export))
        listen(self, seat.session.events.project, self._list_cases)
        listen(self, seat.session.events.case, self._list_cases)
        self.form.changed.connect(self._show_options)
        self._list_cases()
        self._show_options()

    def export(self) -> None:
        """Write in the background. InputError when no project is open or no folder chosen."""
        project = self.session.need_project()
        if self.folder.value == Path():
            raise InputError("choose the folder to export to")
        keys = () if self.case.value == EVERY else (self.case.value,)
        folder, form = self.folder.value, self.form.value
        exporter = make_exporter(form, **{name: field.value for name, field in self.options.get(form, {}).items()})
        by = self.session.actor()
        self.result.clear()
        self.progress.show()
        self.export_button.setEnabled(False)
        in_background(
            lambda progress: export_cases(project, folder, exporter, keys, progress, by),
            done=self._done,
            failed=self._failed,
            progressed=self._progressed,
        )

    def _progressed(self, share: float, doing: str) -> None:
        self.progress.setValue(round(share * 100))
        self.progress.setFormat(f"{doing} (%p%)")

    def _done(self, exported: list[Exported]) -> None:
        self._idle()
        written = [x for x in exported if x.files]
        waiting = sum(x.waiting for x in written)
        corrections = sum(x.corrections for x in written)
        waits = "region still waits" if waiting == 1 else "regions still wait"
        still = f" {waiting} {waits} for a reader{self._what_is_there()}." if waiting else ""
        left_out = len(exported) - len(written)
        out = f" Left out, since nobody has reviewed them: {left_out}." if left_out else ""
        self.result.setText(
            f"Masks written: {len(written)}; corrections in them: {corrections}. See {self.folder.value}.{still}{out}"
        )

    def _what_is_there(self) -> str:
        ignored = self.form.value == "nnunet" and self.options["nnunet"]["ignore_unreviewed"].value
        return ": training will ignore them" if ignored else ": there the AI's mask was written"

    def _failed(self, line: str) -> None:
        self._idle()
        self.seat.events.problem.emit(line)

    def _idle(self) -> None:
        self.progress.hide()
        self.export_button.setEnabled(True)

    def _show_options(self) -> None:
        for form, group in self.options.items():
            for field in group.values():
                field.visible = form == self.form.value

    def _list_cases(self) -> None:
        self.case.choices = [EVERY, *(row.key for row in self.session.cases())]


def _option_fields() -> dict[str, dict[str, Any]]:
    found: dict[str, dict[str, Any]] = {
        "nifti": {},
        "nnunet": {
            "dataset": SpinBox(label="Dataset number", value=500, min=1, max=999),
            "name": LineEdit(label="Dataset name", value="Corrected"),
            "ignore_unreviewed": CheckBox(label="Ignore what nobody reviewed", value=False),
            "by_name": CheckBox(label="One name is one class", value=False),
        },
        "monai": {
            "validation": FloatSpinBox(label="Share for validation", value=0.0, min=0.0, max=0.9, step=0.05),
            "test": FloatSpinBox(label="Share for test", value=0.0, min=0.0, max=0.9, step=0.05),
        },
    }
    for group in found.values():
        group["with_sources"] = CheckBox(
            label="Name source files",
            value=False,
            tooltip="Say in the provenance which files image and masks were read from: paths often name patients",
        )
    return found
