"""Read a volume and find where not to trust what is segmented in it."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

import numpy as np

from napari_deferredseg.core.errors import InputError
from napari_deferredseg.core.progress import Progress, silent
from napari_deferredseg.core.scan import Scan, SliceBox
from napari_deferredseg.core.volume import table_from_names
from napari_deferredseg.deferral.segmentors.external import from_labels, from_probabilities
from napari_deferredseg.io.images import (
    as_channels,
    on_grid_of,
    read_labels,
    read_probabilities,
    read_volume,
)
from napari_deferredseg.masks.prompts import boxes_of, in_terms_of
from napari_deferredseg.usecases.extras import require_model
from napari_deferredseg.usecases.models import describe_model

if TYPE_CHECKING:
    from pathlib import Path

    from napari_deferredseg.core.geometry import Geometry
    from napari_deferredseg.core.prediction import Prediction
    from napari_deferredseg.core.volume import Array, LabelMap, Volume
    from napari_deferredseg.engine import Engine
    from napari_deferredseg.usecases.models import Known

NOISE = 0.5
"""Share of neighbours, of which two labels differ, in what cannot be a mask, where it has over `MANY_LABELS` too."""
MANY_LABELS = 64
LEFT_OUT = "prompt_left_out"
"""Setting of a prediction: names of what its prompt shows and the model does not draw."""


@dataclass(frozen=True)
class ExternalInput:
    """Files of an AI that ran elsewhere: the mask under review first, then other masks or one file of probabilities."""

    volume: Path
    labels: tuple[Path, ...]
    probabilities: Path | None = None
    series: str | None = None
    orientation_checked: bool = False
    """Somebody has made sure that left is left, in an image whose file does not say."""


@dataclass(frozen=True)
class ModelInput:
    """A volume and the folder of a model to run on it.

    `companions` are further image channels on the same grid. `prompt` is a mask whose parts give a box each, `boxes`
    are further ones, drawn on the grid `drawn_on`, for models that must be told where to look.
    """

    volume: Path
    model: Path
    companions: tuple[Path, ...] = ()
    device: str = "auto"
    prompt: Path | None = None
    boxes: tuple[SliceBox, ...] = ()
    drawn_on: Geometry | None = None
    series: str | None = None
    orientation_checked: bool = False


def predict_external(files: ExternalInput, progress: Progress = silent) -> tuple[Volume, Prediction]:
    """Read a volume and what the AI said of it.

    Raises
    ------
    InputError
        A file cannot be used, two of them are on different grids, or there is nothing to compare the first mask with.
    """
    if not files.labels:
        raise InputError("no mask is given: give the AI's mask, and a second one or the AI's probabilities")
    if len(files.labels) == 1 and files.probabilities is None:
        raise InputError(f"{files.labels[0]} alone shows no doubt: give a second mask, or the AI's probabilities")
    if len(files.labels) > 1 and files.probabilities is not None:
        raise InputError(f"{files.probabilities} is given beside a second mask: leave one of both out")
    progress(0.0, "reading the volume")
    volume = read_volume(files.volume, files.series)
    progress(0.3, "reading the masks")
    maps = [on_grid_of(volume, read_labels(path)) for path in files.labels]
    for path, label_map in zip(files.labels, maps, strict=True):
        if np.array_equal(label_map.array, volume.array):
            raise InputError(f"{files.volume} holds the very voxels of the mask {path}: give the image as the volume")
        if _looks_like_an_image(label_map.array):
            raise InputError(f"{path} looks like an image, not like a mask: give the image as the volume")
    notes = tuple(note for label_map in maps for note in label_map.notes)
    if files.probabilities is None:
        progress(0.6, "comparing the masks")
        return volume, replace(from_labels(maps[0], maps[1:]), notes=notes)
    probabilities = on_grid_of(volume, read_probabilities(files.probabilities))
    progress(0.6, "measuring the uncertainty")
    return volume, replace(from_probabilities(maps[0], probabilities), notes=(*notes, *probabilities.notes))


def _looks_like_an_image(labels: Array) -> bool:
    """Whether a label map (z, y, x) has many values of which neighbours hardly ever share one, as a scan does."""
    here, beside = labels[..., 1:], labels[..., :-1]
    either, both = (here > 0) | (beside > 0), (here > 0) & (beside > 0)
    if np.count_nonzero((here != beside) & both) <= NOISE * np.count_nonzero(either):
        return False
    return int(np.count_nonzero(np.bincount(labels.ravel()))) > MANY_LABELS


def predict_with_model(files: ModelInput, engine: Engine, progress: Progress = silent) -> tuple[Volume, Prediction]:
    """Read a volume and run a model on it in the engine's process. The volume returned is without its companions.

    Raises
    ------
    InputError
        The extra `model` is missing, a file or the model cannot be used, or its memory ran out.
    """
    require_model()
    progress(0.0, "reading the volume")
    volume = read_volume(files.volume, files.series)
    require_known_sides(files, volume)
    channels = as_channels([volume, *(read_volume(path) for path in files.companions)])
    model = describe_model(files.model)
    _require_channels(model, channels)
    prompt = on_grid_of(volume, read_labels(files.prompt)) if files.prompt is not None and model.prompted else None
    boxes, left_out = _boxes(files, model, volume, prompt)
    progress(0.1, "starting the model")
    prediction: Prediction = engine.run(
        "napari_deferredseg.deferral.jobs:predict",
        files.model.resolve(),
        Scan(channels, boxes),
        files.device,
        progress=lambda share, doing: progress(0.1 + share * 0.9, doing),
    )
    if left_out:
        prediction = replace(prediction, settings=prediction.settings | {LEFT_OUT: ", ".join(left_out)})
    said = (*channels.notes[len(volume.notes) :], *(prompt.notes if prompt is not None else ()))
    return volume, replace(prediction, notes=(*said, *prediction.notes))


def _boxes(
    files: ModelInput, model: Known, volume: Volume, prompt: LabelMap | None
) -> tuple[tuple[SliceBox, ...] | None, tuple[str, ...]]:
    """Boxes for a model that needs some, those of the prompt mask first, and what that mask shows in vain."""
    if not model.prompted:
        if files.prompt is not None or files.boxes:
            raise InputError(f"the model {model.name} looks everywhere by itself: leave the prompt out")
        return None, ()
    if files.drawn_on is not None and (how := volume.geometry.difference(files.drawn_on)):
        raise InputError(f"{files.volume}: the boxes were drawn on another image ({how}); draw them on this one")
    found: tuple[SliceBox, ...] = ()
    left_out: tuple[str, ...] = ()
    if prompt is not None:
        table = table_from_names(dict(zip(model.values, model.labels, strict=True)))
        array, left_out = in_terms_of(table, prompt)
        found = boxes_of(array)
        if not found and not files.boxes:
            raise InputError(f"{files.prompt} holds nothing to look at: give another mask, or draw boxes")
    if not found and not files.boxes:
        raise InputError(
            f"the model {model.name} must be told where to look: give a mask as prompt (--prompt), or draw boxes"
        )
    return (*found, *files.boxes), left_out


def _require_channels(model: Known, volume: Volume) -> None:
    count = 1 if volume.array.ndim == 3 else len(volume.array)
    if count != model.channels:
        raise InputError(
            f"{volume.source}: has {count} channels, the model {model.name} was trained on {model.channels}; "
            "give the same images that it learned from, in the same order"
        )


def require_known_sides(files: ExternalInput | ModelInput, volume: Volume) -> None:
    """Check that somebody knows which side of the image is left.

    Raises
    ------
    InputError
        Neither the file says it nor has anybody made sure.
    """
    if not volume.geometry.orientation_known and not files.orientation_checked:
        raise InputError(
            f"{files.volume} does not say how it lies in the patient, so left and right may be swapped: "
            "check it, then confirm it (--orientation-checked, or the box in the panel) and run again"
        )
