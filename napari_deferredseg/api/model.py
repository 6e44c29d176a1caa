"""A model folder, ready to predict."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

from napari_deferredseg.api.given import each, flag_of, known_model, labels_of, opened, text_of, volume_of
from napari_deferredseg.core.progress import Progress, silent
from napari_deferredseg.engine import Engine, InProcess, Runner
from napari_deferredseg.io import images
from napari_deferredseg.usecases.running import models, predict

if TYPE_CHECKING:
    from collections.abc import Sequence

    from napari_deferredseg.api.given import StrPath
    from napari_deferredseg.core.prediction import Prediction
    from napari_deferredseg.core.scan import SliceBox
    from napari_deferredseg.core.volume import LabelMap, Volume
    from napari_deferredseg.usecases.project import Project
    from napari_deferredseg.usecases.running.models import InstalledModel


@dataclass(frozen=True)
class Model:
    """A model folder, ready to predict. `about` is what it says of itself: labels, expert channels, card.

    Its weights are read by the first prediction and kept: in this process, or in that of the engine it was given.
    """

    about: InstalledModel
    device: str
    runner: Runner

    def predict(
        self,
        volume: Volume | StrPath,
        *,
        companions: Sequence[Volume | StrPath] | Volume | StrPath = (),
        prompt: LabelMap | StrPath | None = None,
        boxes: Sequence[SliceBox] = (),
        orientation_checked: bool = False,
        outside_domain: bool = False,
        progress: Progress = silent,
    ) -> Prediction:
        """Mask, deferral map and gains of the expert channels, on the grid of the volume.

        Parameters
        ----------
        volume : Volume or path
            The image.
        companions : sequence of Volume or path, or one
            Its further channels on the same grid, in the order that the model learned from.
        prompt, boxes : LabelMap or path, sequence of SliceBox
            Where to look, for a model that must be told.
        orientation_checked : bool
            You made sure that left is left, in an image whose file does not say.
        outside_domain : bool
            You know that the image may be unlike those that the model learned from.

        Raises
        ------
        InputError
            A file or the model cannot be used, the sides of the image are not known, or it is out of the model's
            domain.
        MissingExtra
            The extra `model` is not installed.
        WorkerDied
            Memory ran out, or the engine's process ended.
        """
        image = volume_of(volume)
        predict.require_known_sides(image, flag_of(orientation_checked, "orientation_checked"))
        further = [volume_of(x) for x in each(companions, "companions")]  # type: ignore[arg-type]
        whole = images.as_channels([image, *further])
        asked = predict.Ask(
            prompt=labels_of(prompt) if prompt is not None else None,
            boxes=tuple(boxes),
            device=self.device,
            outside_domain=flag_of(outside_domain, "outside_domain"),
        )
        prediction = predict.ask_model(self.about, whole, self.runner, asked, progress)
        return replace(prediction, notes=(*whole.notes, *prediction.notes))


def load_model(model: StrPath, *, device: str = "auto", engine: Engine | None = None) -> Model:
    """Open a model folder, or, by a `str` that is its name, a model that comes with the product.

    Parameters
    ----------
    device : str
        auto, cpu, cuda, cuda:1 or mps.
    engine : Engine, optional
        Predict in its worker process (`with Engine() as engine: ...`) and not in this one.

    Raises
    ------
    InputError
        It is no model.
    """
    return Model(known_model(model), text_of(device, "device"), engine or InProcess())


def list_models(project: Project | StrPath | None = None) -> list[InstalledModel]:
    """Models of a project, then those that come with the product: name, folder, labels, expert channels."""
    if project is None:
        return models.list_models()
    with opened(project) as known:
        return models.list_models(known)
