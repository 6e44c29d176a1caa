"""Open a case of a project: its volume, what the AI said, what readers have corrected."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

from napari_deferredseg.core.errors import Damaged, InputError
from napari_deferredseg.core.progress import Progress, silent
from napari_deferredseg.core.volume import voxel_hash
from napari_deferredseg.io.images import read_volume
from napari_deferredseg.masks.overlap import compose

if TYPE_CHECKING:
    from napari_deferredseg.core.records import CaseRecord, Correction, PredictionRecord, Region
    from napari_deferredseg.core.volume import Array, Volume
    from napari_deferredseg.usecases.project import Project


@dataclass(frozen=True)
class CaseImages:
    """What of a case no reader changes, arrays (z, y, x) in file order.

    Attributes
    ----------
    labels : uint8 or uint16
        The AI's mask under review, read only.
    alternative : as labels
        What else was voted for, read only.
    defer : float16
        Raw deferral map, read only.
    """

    record: CaseRecord
    prediction: PredictionRecord
    volume: Volume
    labels: Array
    alternative: Array
    defer: Array


@dataclass(frozen=True)
class OpenCase(CaseImages):
    """A case in memory.

    Attributes
    ----------
    composed : as labels
        The AI's mask with every submitted correction written in.
    corrections : list of Correction
        Those in `composed`, as they were when the case was opened, and what was submitted here since.
    regions : dict
        Region of each of the corrections, by id.
    """

    composed: Array
    corrections: list[Correction]
    regions: dict[str, Region]


def load_images(project: Project, key: str, progress: Progress = silent) -> CaseImages:
    """Read what of a case no reader changes, and make sure that the image is still the one that was reviewed.

    Raises
    ------
    InputError
        The case is unknown; the image is gone or another one; the stored prediction is damaged.
    """
    record = project.store.case(key)
    prediction = project.store.prediction(key)
    progress(0.0, "reading the volume")
    volume = read_source(project, record)
    progress(0.7, "reading the prediction")
    return CaseImages(record, prediction, volume, *load_prediction(project, prediction))


def load_case(project: Project, key: str, progress: Progress = silent, ready: CaseImages | None = None) -> OpenCase:
    """Read a case as it stands now; InputError as in `load_images`.

    Images that were read before (`ready`) are taken where they are this case's and no later run has replaced them.
    """
    current = (project.store.case(key), project.store.prediction(key))
    if ready is None or (ready.record, ready.prediction) != current:
        ready = load_images(project, key, progress)
    progress(0.9, "reading the corrections")
    corrections = project.store.corrections(case_key=key)
    regions = {c.region_id: project.store.region(c.region_id) for c in corrections}
    composed = np.array(compose(ready.labels, corrections, regions))
    progress(1.0, "done")
    return OpenCase(**vars(ready), composed=composed, corrections=corrections, regions=regions)


def read_source(project: Project, record: CaseRecord) -> Volume:
    """Read a case's image again and compare hash and grid with the record's."""
    path = project.absolute(record.source)
    if not path.exists():
        raise InputError(
            f"the image of {record.key} is gone: {path} does not exist; put it back, or run again from where it is now"
        )
    volume = read_volume(path, record.series or None)
    if voxel_hash(volume.array, project.key) != record.voxel_hash or not volume.geometry.same_grid(record.geometry):
        raise Damaged(f"{path} is no longer the image that {record.key} was made from: put the original back")
    return volume


def load_prediction(project: Project, prediction: PredictionRecord) -> tuple[Array, Array, Array]:
    """Labels, alternative and deferral map of a prediction, all checked against their hashes."""
    return project.predictions.load(
        prediction.id, (prediction.labels_hash, prediction.alternative_hash, prediction.defer_hash)
    )
