"""Images, and what is doubtful in a mask of one: no project is needed."""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING

from napari_deferredseg.api.given import budget_of, labels_of, optional_text, path_of, volume_of
from napari_deferredseg.core.budget import DEFAULT_BUDGET
from napari_deferredseg.core.progress import Progress, silent
from napari_deferredseg.core.volume import LabelMap, Probabilities, Volume
from napari_deferredseg.io import images
from napari_deferredseg.routing.regions import make_regions
from napari_deferredseg.usecases.running import predict

if TYPE_CHECKING:
    from napari_deferredseg.api.given import StrPath
    from napari_deferredseg.core.budget import Budget
    from napari_deferredseg.core.prediction import Prediction
    from napari_deferredseg.routing.proposal import Proposal


def read_volume(path: StrPath, series: str | None = None) -> Volume:
    """Read an image, (z, y, x) or (c, z, y, x) as stored, of a file or a folder of DICOM files.

    `series` is the UID or the number of the series where a folder holds several. InputError when it cannot be used.
    """
    return images.read_volume(path_of(path), optional_text(series, "series"))


def read_labels(path: StrPath) -> LabelMap:
    """Read a mask, (z, y, x) uint8 or uint16, with its names. InputError when it is none."""
    return images.read_labels(path_of(path))


def compare_masks(
    volume: Volume | StrPath,
    mask: LabelMap | StrPath,
    *others: LabelMap | StrPath,
    probabilities: Probabilities | StrPath | None = None,
    progress: Progress = silent,
) -> Prediction:
    """Where an AI's mask is doubtful: where other masks differ from it, or by the AI's own probabilities.

    Parameters
    ----------
    volume : Volume or path
        The image that all of them were drawn on.
    mask : LabelMap or path
        The one under review.
    *others : LabelMap or path
        At least one, or none beside `probabilities`.
    probabilities : Probabilities or path, optional
        Of foreground, or (c, z, y, x) with background first.

    Raises
    ------
    InputError
        A file cannot be used, two are on different grids, or there is nothing to compare the mask with.
    """
    known = [mask, *others]
    image, maps = volume_of(volume), [labels_of(x) for x in known]
    given = probabilities
    if given is not None and not isinstance(given, Probabilities):
        given = images.read_probabilities(path_of(given))
    prediction = predict.compare(image, maps, given, progress)
    return replace(prediction, notes=(*image.notes, *prediction.notes))


def propose_regions(
    prediction: Prediction, budget: str | float | Budget = DEFAULT_BUDGET, progress: Progress = silent
) -> Proposal:
    """Regions that readers should look at within a budget, and the account of what they leave out. No project needed.

    Parameters
    ----------
    budget : str, float or Budget
        Such as "10%" or 0.1 (of what the AI labelled), "2% of voxels", "30 minutes" or "20 regions".

    Raises
    ------
    InputError
        The budget cannot be read, or is a share of a mask that is empty.
    """
    return make_regions(prediction, "", prediction.model_id, budget_of(budget), progress)
