"""Read a volume and find where not to trust what is segmented in it."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

import numpy as np

from napari_deferredseg.core.errors import InputError
from napari_deferredseg.core.progress import Progress, silent
from napari_deferredseg.core.scan import Scan, SliceBox
from napari_deferredseg.core.volume import LabelMap, labels_present
from napari_deferredseg.deferral.jobs import predict
from napari_deferredseg.io.images import (
    as_channels,
    on_grid_of,
    read_labels,
    read_probabilities,
    read_volume,
)
from napari_deferredseg.masks.external import from_labels, from_probabilities, merged_table
from napari_deferredseg.masks.prompts import boxes_of, in_terms_of
from napari_deferredseg.usecases.extras import require_model
from napari_deferredseg.usecases.running.domain import domain_notes
from napari_deferredseg.usecases.running.models import describe_model
from napari_deferredseg.usecases.running.numbers import number_notes

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence
    from pathlib import Path

    from napari_deferredseg.core.geometry import Geometry
    from napari_deferredseg.core.prediction import Prediction
    from napari_deferredseg.core.volume import Array, LabelTable, Probabilities, Volume
    from napari_deferredseg.engine import Runner
    from napari_deferredseg.usecases.running.models import InstalledModel

    Check = Callable[[Volume, LabelTable], None]

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
    outside_domain: bool = False
    """Somebody knows that the image may be unlike those that the model learned from."""


@dataclass(frozen=True)
class Ask:
    """How a model is asked: where to look, as a mask on the image's grid and as boxes, on which device.

    `outside_domain`: somebody knows that the image may be unlike those that the model learned from.
    """

    prompt: LabelMap | None = None
    boxes: tuple[SliceBox, ...] = ()
    device: str = "auto"
    outside_domain: bool = False


PLAINLY = Ask()


def anything(volume: Volume, table: LabelTable) -> None:
    """Let any image and any labels pass."""


def predict_external(
    files: ExternalInput, progress: Progress = silent, check: Check = anything
) -> tuple[Volume, Prediction]:
    """Read a volume and what the AI said of it.

    Parameters
    ----------
    check : callable
        Gets the volume and the names of its labels before voxels are compared; an InputError of it ends the run.

    Raises
    ------
    InputError
        A file cannot be used, two of them are on different grids, or there is nothing to compare the first mask with.
    """
    require_doubt(files.labels, files.probabilities)
    progress(0.0, "reading the volume")
    volume = read_volume(files.volume, files.series)
    progress(0.3, "reading the masks")
    maps = [read_labels(path) for path in files.labels]
    probabilities = read_probabilities(files.probabilities) if files.probabilities is not None else None
    return volume, compare(volume, maps, probabilities, progress, check)


def compare(
    volume: Volume,
    maps: Sequence[LabelMap],
    probabilities: Probabilities | None = None,
    progress: Progress = silent,
    check: Check = anything,
) -> Prediction:
    """Compare the first of an AI's masks with the others, or with its probabilities; its notes are theirs.

    Raises
    ------
    InputError
        As `predict_external`, of what is in memory already.
    """
    require_doubt([label_map.source for label_map in maps], probabilities and probabilities.source)
    maps = [on_grid_of(volume, label_map) for label_map in maps]
    for label_map in maps:
        if _same_voxels(label_map.array, volume.array):
            raise InputError(
                f"{volume.source} holds the very voxels of the mask {label_map.source}: give the image as the volume"
            )
        if _looks_like_an_image(label_map.array):
            raise InputError(f"{label_map.source} looks like an image, not like a mask: give the image as the volume")
    check(volume, merged_table(maps[0], maps[1:]))
    notes = tuple(note for label_map in maps for note in label_map.notes)
    if probabilities is None:
        progress(0.6, "comparing the masks")
        notes += tuple(note for other in maps[1:] for note in number_notes(maps[0], other))
        return replace(from_labels(maps[0], maps[1:]), notes=notes)
    probabilities = on_grid_of(volume, probabilities)
    progress(0.6, "measuring the uncertainty")
    prediction = from_probabilities(maps[0], probabilities)
    numbers = number_notes(maps[0], _most_probable(probabilities))
    return replace(prediction, notes=(*notes, *probabilities.notes, *numbers))


def require_doubt(masks: Sequence[object], probabilities: object | None) -> None:
    """Check that there is one thing to compare the first mask with; InputError names what is missing or too much."""
    if not masks:
        raise InputError("no mask is given: give the AI's mask, and a second one or the AI's probabilities")
    if len(masks) == 1 and probabilities is None:
        raise InputError(f"{masks[0]} alone shows no doubt: give a second mask, or the AI's probabilities")
    if len(masks) > 1 and probabilities is not None:
        raise InputError(f"{probabilities} is given beside a second mask: leave one of both out")


def _same_voxels(one: Array, other: Array) -> bool:
    """Whether two arrays are equal, told by the first plane that is not."""
    return one.shape == other.shape and all(np.array_equal(a, b) for a, b in zip(one, other, strict=True))


def _most_probable(probabilities: Probabilities) -> LabelMap:
    p = probabilities.array
    planes = [p[:, z].argmax(axis=0).astype(np.uint8 if len(p) <= 256 else np.uint16) for z in range(p.shape[1])]
    return LabelMap(np.stack(planes), probabilities.geometry, probabilities.source)


def _looks_like_an_image(labels: Array) -> bool:
    """Whether a label map (z, y, x) has many values of which neighbours hardly ever share one, as a scan does."""
    differ = neighbours = 0
    for plane in labels:  # a whole volume of truth values for each step would take long and much memory
        here, beside = plane[:, 1:], plane[:, :-1]
        unlike = here != beside
        if unlike.any():
            differ += int(np.count_nonzero(unlike & (here > 0) & (beside > 0)))
        neighbours += int(np.count_nonzero(here | beside))
    return differ > NOISE * neighbours and len({0, *labels_present(labels)}) > MANY_LABELS


def predict_with_model(
    files: ModelInput, runner: Runner, progress: Progress = silent, check: Check = anything
) -> tuple[Volume, Prediction]:
    """Read a volume and run a model on it where the runner runs jobs. The volume returned is without its companions.

    Parameters
    ----------
    check : callable
        Gets the volume and the model's labels before the model starts; an InputError of it ends the run.

    Raises
    ------
    InputError
        The extra `model` is missing, a file or the model cannot be used, the image is out of the model's domain, or
        its memory ran out.
    """
    require_model()
    progress(0.0, "reading the volume")
    volume = read_volume(files.volume, files.series)
    require_known_sides(volume, files.orientation_checked)
    image = as_channels([volume, *(read_volume(path) for path in files.companions)])
    model = describe_model(files.model)
    _require_prompted(model, files.prompt is not None or bool(files.boxes))
    if files.drawn_on is not None and (how := volume.geometry.difference(files.drawn_on)):
        raise InputError(f"{files.volume}: the boxes were drawn on another image ({how}); draw them on this one")
    asked = Ask(
        prompt=read_labels(files.prompt) if files.prompt is not None else None,
        boxes=files.boxes,
        device=files.device,
        outside_domain=files.outside_domain,
    )
    _require_channels(model, image)
    check(volume, model.table)
    prediction = ask_model(model, image, runner, asked, progress)
    return volume, replace(prediction, notes=(*image.notes[len(volume.notes) :], *prediction.notes))


def ask_model(
    model: InstalledModel,
    image: Volume,
    runner: Runner,
    asked: Ask = PLAINLY,
    progress: Progress = silent,
) -> Prediction:
    """Run a model on an image in memory, with all the channels that it learned from.

    Raises
    ------
    InputError
        As `predict_with_model`, of what was read already.
    """
    require_model()
    _require_channels(model, image)
    notes = domain_notes(model, image, asked.outside_domain)
    _require_prompted(model, asked.prompt is not None or bool(asked.boxes))
    prompt = on_grid_of(image, asked.prompt) if asked.prompt is not None else None
    boxes, left_out = _boxes(model, prompt, asked.boxes)
    progress(0.1, "starting the model")
    prediction = runner.run(
        predict,
        model.folder.resolve(),
        Scan(image, boxes),
        asked.device,
        progress=lambda share, doing: progress(0.1 + share * 0.9, doing),
    )
    settings = dict(prediction.settings)
    if left_out:
        settings[LEFT_OUT] = ", ".join(left_out)
    if asked.outside_domain:
        settings["outside_domain"] = True
    said = prompt.notes if prompt is not None else ()
    return replace(prediction, settings=settings, notes=(*said, *notes, *prediction.notes))


def _boxes(
    model: InstalledModel, prompt: LabelMap | None, drawn: tuple[SliceBox, ...]
) -> tuple[tuple[SliceBox, ...] | None, tuple[str, ...]]:
    """Boxes for a model that needs some, those of the prompt mask first, and what that mask shows in vain."""
    if not model.prompted:
        return None, ()
    found: tuple[SliceBox, ...] = ()
    left_out: tuple[str, ...] = ()
    if prompt is not None:
        array, left_out = in_terms_of(model.table, prompt)
        found = boxes_of(array)
        if not found and not drawn:
            raise InputError(f"{prompt.source} holds nothing to look at: give another mask, or draw boxes")
    if not found and not drawn:
        raise InputError(
            f"the model {model.name} must be told where to look: give a mask as prompt (--prompt), or draw boxes"
        )
    return (*found, *drawn), left_out


def _require_prompted(model: InstalledModel, given: bool) -> None:
    if given and not model.prompted:
        raise InputError(f"the model {model.name} looks everywhere by itself: leave the prompt out")


def _require_channels(model: InstalledModel, volume: Volume) -> None:
    count = 1 if volume.array.ndim == 3 else len(volume.array)
    if count != model.channels:
        raise InputError(
            f"{volume.source}: has {count} channels, the model {model.name} was trained on {model.channels}; "
            "give the same images that it learned from, in the same order"
        )


def require_known_sides(volume: Volume, checked: bool) -> None:
    """Check that somebody knows which side of the image is left.

    Raises
    ------
    InputError
        Neither the file says it nor has anybody made sure.
    """
    if not volume.geometry.orientation_known and not checked:
        raise InputError(
            f"{volume.source} does not say how it lies in the patient, so left and right may be swapped: "
            "check it, then confirm it (--orientation-checked, or the box in the panel) and run again"
        )
