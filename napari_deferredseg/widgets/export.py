"""*Export labels*: the AI's masks with the readers' corrections, on the source grid."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

from magicgui.widgets import ComboBox, Container, FileEdit
from qtpy.QtWidgets import QLabel, QProgressBar, QPushButton

from napari_deferredseg.core.errors import InputError
from napari_deferredseg.usecases.export import FORMATS, Exported, export_cases
from napari_deferredseg.widgets.background import in_background
from napari_deferredseg.widgets.panel import Panel, listen

if TYPE_CHECKING:
    from napari_deferredseg.widgets.stage import Stage

EVERY = "all cases"


class ExportPanel(Panel):
    """Choose cases, format and folder."""

    def __init__(self, stage: Stage) -> None:
        super().__init__(stage)
        self.case = ComboBox(label="Case", choices=[EVERY])
        self.form = ComboBox(label="Format", choices=list(FORMATS))
        self.folder = FileEdit(label="Folder", mode="d")
        self.folder.choose_btn.text = "..."
        fields = Container(labels=True)
        fields.extend([self.case, self.form, self.folder])  # afterwards, or the labels get different widths
        self.export_button = QPushButton("Export")
        self.progress = QProgressBar()
        self.progress.setRange(0, 100)
        self.progress.hide()
        self.result = QLabel()
        self.result.setWordWrap(True)
        self.body.addWidget(fields.native)
        for widget in (self.export_button, self.progress, self.result):
            self.body.addWidget(widget)
        self.finish_layout()
        self._fields = fields
        self.export_button.clicked.connect(lambda: stage.attempt(self.export))
        listen(self, stage.session.events.project, self._list_cases)
        listen(self, stage.session.events.case, self._list_cases)
        self._list_cases()

    def export(self) -> None:
        """Write in the background. InputError when no project is open or no folder chosen."""
        project = self.session.need_project()
        if self.folder.value == Path():
            raise InputError("choose the folder to export to")
        keys = () if self.case.value == EVERY else (self.case.value,)
        folder, form = self.folder.value, self.form.value
        self.result.clear()
        self.progress.show()
        self.export_button.setEnabled(False)
        in_background(
            lambda progress: export_cases(project, folder, form, keys, progress),
            done=self._done,
            failed=self._failed,
            progressed=self._progressed,
        )

    def _progressed(self, share: float, doing: str) -> None:
        self.progress.setValue(round(share * 100))
        self.progress.setFormat(f"{doing} (%p%)")

    def _done(self, exported: list[Exported]) -> None:
        self._idle()
        waiting = sum(x.waiting for x in exported)
        corrections = sum(x.corrections for x in exported)
        still = f" {waiting} regions still wait for a reader: there the AI's mask was written." if waiting else ""
        self.result.setText(
            f"Wrote {len(exported)} masks with {corrections} corrections to {self.folder.value}.{still}"
        )

    def _failed(self, line: str) -> None:
        self._idle()
        self.stage.events.problem.emit(line)

    def _idle(self) -> None:
        self.progress.hide()
        self.export_button.setEnabled(True)

    def _list_cases(self) -> None:
        project = self.session.project
        self.case.choices = [EVERY, *(x.key for x in (project.store.cases() if project is not None else ()))]
