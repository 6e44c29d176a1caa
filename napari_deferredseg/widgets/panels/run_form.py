"""The form of *Run deferral model*: which model, the files that it needs, the budget, who its experts are."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any

from magicgui.widgets import CheckBox, ComboBox, Container, FileEdit, FloatSpinBox, Label
from qtpy.QtCore import Qt, Signal
from qtpy.QtWidgets import QComboBox, QGridLayout, QLabel, QWidget

from napari_deferredseg.core.budget import Budget, Mode, Unit
from napari_deferredseg.core.errors import DeferredSegError, InputError
from napari_deferredseg.core.names import visible
from napari_deferredseg.usecases.running.domain import domain_lines
from napari_deferredseg.usecases.running.models import EXTERNAL, InstalledModel
from napari_deferredseg.usecases.running.predict import ExternalInput, ModelInput
from napari_deferredseg.usecases.running.route import Channels, make_channels
from napari_deferredseg.usecases.settings import read_settings
from napari_deferredseg.widgets.qt.fields import NoteField, QuietComboBox
from napari_deferredseg.widgets.qt.plain import PlainLabel

if TYPE_CHECKING:
    from collections.abc import Sequence

    from napari_deferredseg.core.records import Reader

IMAGES = "*.nii *.nii.gz *.nrrd *.nhdr *.mha *.mhd *.dcm"
UNITS: dict[str, tuple[Unit, float, Mode]] = {
    "% of the AI mask": ("predicted-foreground", 0.01, "per_volume_share"),
    "% of all voxels": ("voxels", 0.01, "per_volume_share"),
    "minutes of reading": ("minutes", 1.0, "per_volume_share"),
    "regions": ("regions", 1.0, "per_volume_share"),
}
VALIDATED: dict[str, tuple[Unit, float, Mode]] = {
    "% of AI masks, as validated": ("predicted-foreground", 0.01, "fixed_threshold"),
    "% of voxels, as validated": ("voxels", 0.01, "fixed_threshold"),
}
DEVICES = ("auto", "cpu", "cuda", "mps")
BROWSE = "browse"
STYLED = 16
"""Pixels that a style may add to the width of a label."""
NOTHING = Path()
NO_BOXES = "none"
NOBODY = "nobody: by capacity and speciality"


class RunForm(Container[Any]):
    """What to run on: model, files, and the budget with its unit. Only the fields that the model needs are shown."""

    def __init__(self) -> None:
        self.model = ComboBox(
            label="Model", choices=_choices([]), tooltip="Who segments, and says where not to trust it"
        )
        self.volume = _file("Volume", "Image to segment, or that the AI segmented")
        self.first = _file("AI mask", "The mask under review")
        self.second = _file("Second mask", "Another AI's mask, or another run of the same")
        self.probabilities = _file("or probabilities", "In place of a second mask: the AI's class probabilities")
        self.prompt = _file(
            "Prompt mask", "Tells the model where to look: each part of this mask in a slice gives a box"
        )
        self.boxes = ComboBox(
            label="or boxes in",
            choices=[NO_BOXES],
            tooltip="A layer of shapes: rectangles around what is to be drawn. Its feature 'label' says what each is",
        )
        self.about = ComboBox(label="Boxes around", choices=[], tooltip="What the boxes are about that are drawn next")
        self.device = ComboBox(label="Device", choices=DEVICES, tooltip="auto: a graphics card where there is one")
        budget = read_settings().default_budget()
        unit = next(text for text, (unit, _, _) in UNITS.items() if unit == budget.unit)
        amount = round(budget.amount / UNITS[unit][1], 4)
        least, most = min(0.1, amount), max(10_000, amount)
        self.amount = FloatSpinBox(label="Budget", value=amount, min=least, max=most, step=1)
        self.unit = ComboBox(
            label="",
            choices=list(UNITS),
            value=unit,
            tooltip="As validated: what lies over the threshold that the model fixed for this share on its validation "
            "cases; more of a hard volume, less of an easy one",
        )
        self.checked = CheckBox(
            text="Left and right checked",
            tooltip="Only for an image whose file does not say which side is which",
        )
        self.outside = CheckBox(
            text="Outside its domain",
            tooltip="Run the model on an image unlike those that it learned from all the same",
        )
        self.learned = Label(label="Learned from", tooltip="What the images were like that the model learned from")
        self.companions: list[FileEdit] = []
        fields = [self.model, self.learned, self.volume, self.first, self.second, self.probabilities]
        fields += [self.prompt, self.boxes, self.about, self.device]
        super().__init__(labels=True)
        self.extend(
            [*fields, self.amount, self.unit, self.checked, self.outside]
        )  # afterwards, or the labels get different widths
        self.model.native.setMinimumContentsLength(12)
        self.model.native.setSizeAdjustPolicy(QComboBox.SizeAdjustPolicy.AdjustToMinimumContentsLengthWithIcon)
        self.learned.native.setTextFormat(Qt.TextFormat.PlainText)
        self.learned.native.setWordWrap(True)
        self.model.changed.connect(self.fit)
        for field in (self.model, self.volume):
            field.changed.connect(self._ask_again)
        self.fit()

    @property
    def chosen(self) -> InstalledModel | None:
        """The model; None for an external AI."""
        return self.model.value if isinstance(self.model.value, InstalledModel) else None

    def offer(self, models: Sequence[InstalledModel], chosen: InstalledModel | None) -> None:
        """Let one of these models be chosen, or an external AI, or a folder."""
        with self.model.changed.blocked():
            self.model.choices = _choices(models)
            self.model.value = chosen if chosen in models else EXTERNAL
        self.model.changed.emit(self.model.value)

    def fit(self) -> None:
        """Show the fields that the model needs."""
        model = self.chosen
        for field in (self.first, self.second, self.probabilities):
            field.visible = model is None
        for field in (self.prompt, self.boxes):
            field.visible = model is not None and model.prompted
        self.about.choices = model.labels if model is not None and model.prompted else ()
        self.about.visible = len(self.about.choices) > 1
        for field in (self.device, self.outside, self.learned):
            field.visible = model is not None
        self.learned.value = "" if model is None else _learned_from(model)
        fixed = {unit for _, unit in model.thresholds} if model is not None else set()
        self.unit.choices = [*UNITS, *(text for text, (unit, _, _) in VALIDATED.items() if unit in fixed)]
        wanted = 0 if model is None else model.channels - 1
        while len(self.companions) > wanted:
            self.remove(self.companions.pop())
        while len(self.companions) < wanted:
            number = len(self.companions) + 2
            field = _file(f"Channel {number}", f"Image {number} that the model learned from, on the volume's grid")
            self.insert(self.index(self.prompt), field)
            self.companions.append(field)
        self._align()

    def _align(self) -> None:
        """Let all fields start below each other: magicgui's widths leave out what a style adds around a label."""
        names = {field.label for field in self}
        labels = [x for x in self.native.findChildren(QLabel) if x.text() in names]
        widest = max(x.fontMetrics().horizontalAdvance(x.text()) for x in labels)
        for label in labels:
            label.setMinimumWidth(widest + STYLED)

    def offer_boxes(self, layers: Sequence[str]) -> None:
        """Let boxes come from one of these layers."""
        before = self.boxes.value
        self.boxes.choices = [NO_BOXES, *layers]
        self.boxes.value = before if before in layers else NO_BOXES

    def files(self) -> ExternalInput | ModelInput:
        """Files as given. InputError when one is missing."""
        model = self.chosen
        if model is not None:
            return self._images(model)
        if self.volume.value == NOTHING or self.first.value == NOTHING:
            raise InputError("choose the volume and the AI's mask")
        return ExternalInput(
            volume=self.volume.value,
            labels=tuple(x.value for x in (self.first, self.second) if x.value != NOTHING),
            probabilities=None if self.probabilities.value == NOTHING else self.probabilities.value,
            orientation_checked=self.checked.value,
        )

    def budget(self) -> Budget:
        """Budget in its unit. InputError when it makes no sense."""
        unit, factor, mode = (UNITS | VALIDATED)[self.unit.value]
        return Budget.parse(f"{self.amount.value}%" if factor < 1 else f"{self.amount.value:g}", unit=unit, mode=mode)

    def suggest(self, images: list[Path | None], masks: list[Path | None]) -> None:
        """Fill the fields that are still empty."""
        fields = (self.volume, *self.companions), (self.first, self.second)
        for group, paths in zip(fields, (images, masks), strict=True):
            for field, path in zip(group, paths, strict=False):
                if path is not None and field.value == NOTHING:
                    field.value = path

    def _ask_again(self) -> None:
        """What somebody knows of one image and one model is not known of the next."""
        self.outside.value = False

    def _images(self, model: InstalledModel) -> ModelInput:
        if self.volume.value == NOTHING:
            raise InputError("choose the volume")
        given = [x.value for x in self.companions if x.value != NOTHING]
        if given and len(given) < len(self.companions):  # none: one file may hold all channels
            raise InputError(f"the model {model.name} needs {model.channels} images: choose each channel's")
        return ModelInput(
            volume=self.volume.value,
            model=model.folder,
            companions=tuple(given),
            prompt=self.prompt.value if model.prompted and self.prompt.value != NOTHING else None,
            device=self.device.value,
            orientation_checked=self.checked.value,
            outside_domain=self.outside.value,
        )


class ExpertTable(QWidget):
    """Who stands behind each expert channel of a model. Off until somebody is chosen and the purpose is said."""

    valueChanged = Signal()

    def __init__(self) -> None:
        super().__init__()
        self.people: dict[str, QuietComboBox] = {}
        self.purpose = NoteField("Purpose (must be stated; it is kept with the run)")
        self.purpose.setToolTip("What the learned reliability of these people is used for")
        self._grid = QGridLayout(self)
        self._grid.setContentsMargins(0, 0, 0, 0)
        self._grid.setColumnStretch(1, 1)

    def show_channels(self, channels: Sequence[str], readers: Sequence[Reader]) -> None:
        """Offer the readers and their groups for each of these channels."""
        stated = self.purpose.text()
        self.purpose.setParent(None)
        while (item := self._grid.takeAt(0)) is not None:
            if (widget := item.widget()) is not None:
                widget.deleteLater()
        self.people = {channel: self._people(readers) for channel in channels}
        title = QLabel("Who stands behind the model's expert channels?")
        title.setWordWrap(True)
        self._grid.addWidget(title, 0, 0, 1, 2)
        for row, (channel, choice) in enumerate(self.people.items(), start=1):
            self._grid.addWidget(PlainLabel(channel), row, 0)
            self._grid.addWidget(choice, row, 1)
        self._grid.addWidget(self.purpose, len(self.people) + 1, 0, 1, 2)
        self.purpose.setText(stated)
        self.setVisible(bool(channels))
        self._show_purpose()

    def value(self) -> Channels | None:
        """Who was chosen, and what for; None when nobody. InputError when the purpose is missing."""
        chosen = self._chosen()
        return make_channels(chosen, self.purpose.text()) if chosen else None

    def setValue(self, channels: Channels | None) -> None:
        """Choose people and say what for; None chooses nobody."""
        for channel, choice in self.people.items():
            who = channels.readers.get(channel) if channels is not None else None
            choice.setCurrentIndex(max(0, choice.findData(who)))
        self.purpose.setText(channels.purpose if channels is not None else "")

    def _chosen(self) -> dict[str, str]:
        return {channel: x.currentData() for channel, x in self.people.items() if x.currentData() is not None}

    def _people(self, readers: Sequence[Reader]) -> QuietComboBox:
        choice = QuietComboBox()
        choice.setMinimumContentsLength(12)
        choice.addItem(NOBODY, None)
        for reader in readers:
            choice.addItem(visible(reader.name), reader.login)
        for group in sorted({group for reader in readers for group in reader.groups}):
            choice.addItem(visible(f"group {group}"), group)
        choice.currentIndexChanged.connect(self._show_purpose)
        return choice

    def _show_purpose(self) -> None:
        self.purpose.setVisible(bool(self._chosen()))
        self.valueChanged.emit()


def _choices(models: Sequence[InstalledModel]) -> list[tuple[str, object]]:
    """What the list of models says and means; every line is another one."""
    texts = ["external AI", "Browse ...", *(x.name for x in models)]
    named = [(visible(x.name if texts.count(x.name) == 1 else f"{x.name} ({x.folder})"), x) for x in models]
    return [(texts[0], EXTERNAL), *named, (texts[1], BROWSE)]


def _learned_from(model: InstalledModel) -> str:
    try:
        return "\n".join(domain_lines(model))
    except DeferredSegError as error:
        return str(error)


def _file(label: str, tooltip: str) -> FileEdit:
    field = FileEdit(label=label, mode="r", filter=f"Images ({IMAGES});;All files (*)", tooltip=tooltip)
    field.choose_btn.text = "..."
    return field
