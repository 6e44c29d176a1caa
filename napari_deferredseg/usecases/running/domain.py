"""Whether a volume is like the images that a model learned from, asked before the model runs."""

from __future__ import annotations

from typing import TYPE_CHECKING

from napari_deferredseg.core.errors import InputError
from napari_deferredseg.core.progress import Progress, silent
from napari_deferredseg.deferral.data.domain import FILE, departures, domain_of, traits_of, write_domain
from napari_deferredseg.io.datalist import read_datalist
from napari_deferredseg.io.images import read_channels, read_labels, read_volume
from napari_deferredseg.usecases.running.models import describe_model

if TYPE_CHECKING:
    from pathlib import Path

    from napari_deferredseg.core.datalist import Datalist
    from napari_deferredseg.core.volume import Volume
    from napari_deferredseg.deferral.data.domain import Domain
    from napari_deferredseg.usecases.running.models import InstalledModel

UNKNOWN = "range unknown: the images that it learned from were not recorded"


def domain_notes(model: InstalledModel, volume: Volume, outside_allowed: bool = False) -> tuple[str, ...]:
    """Compare a volume with what a model learned from.

    Returns
    -------
    tuple of str
        Sentences for whoever reads the result; none where the volume is like the training cases.

    Raises
    ------
    InputError
        It is too far from them, as `departures` says, and nobody has allowed that; or the record is damaged.
    """
    domain = model.read_domain()
    if domain is None:
        return (f"The model {model.name}: {UNKNOWN}.",)
    found = departures(domain, traits_of(volume, domain.scale))
    if not found:
        return ()
    differences = "; ".join(x.what for x in found)
    if any(x.far for x in found) and not outside_allowed:
        raise InputError(
            f"{volume.source}: is unlike what the model {model.name} learned from: {differences}. Choose another "
            "model, or say that you know it (--outside-domain, or the box in the panel)"
        )
    return (f"The image is unlike what the model {model.name} learned from: {differences}.",)


def domain_lines(model: InstalledModel) -> tuple[str, ...]:
    """What a model learned from, for a person. InputError when the record is damaged."""
    domain = model.read_domain()
    return (UNKNOWN,) if domain is None else domain.described()


def measure_domain(
    folder: Path, data: Path, modality: str = "", progress: Progress = silent, *, replace: bool = False
) -> Domain:
    """Write the record of a model folder from the training cases of its cases file.

    Parameters
    ----------
    modality : str
        DICOM code such as CT, for images whose files do not say it and cases without a field `modality`.
    replace : bool
        Whether a record that is there may be written over.

    Raises
    ------
    InputError
        It is no model folder, or has a record already; the list names other labels than the model; a case cannot be
        read or has another number of channels; or the folder is not writable.
    """
    model = describe_model(folder)
    if (folder / FILE).exists() and not replace:
        raise InputError(f"{folder / FILE}: is there already; give --replace to measure anew and write over it")
    listed = read_datalist(data)
    cases = listed.training
    _check_labels(model, listed, data)
    if not cases:
        raise InputError(f"{data}: has no training cases; give the list that the model learned from")
    traits = []
    for number, case in enumerate(cases):
        progress(number / len(cases), f"looking at case {number + 1} of {len(cases)}")
        volume = read_volume(case.image[0]) if len(case.image) == 1 else read_channels(case.image)
        traits.append(traits_of(volume, model.scale, case.groups.get("modality", modality)))
        if len(traits[-1].quantiles) != model.channels:
            raise InputError(
                f"{volume.source}: has {len(traits[-1].quantiles)} channels, the model {model.name} was trained on "
                f"{model.channels}; give the list that it learned from"
            )
    domain = domain_of(traits, model.labels, model.scale)
    try:
        write_domain(folder, domain)
    except OSError as error:
        raise InputError(f"{folder / FILE}: cannot be written ({error.strerror or error}); free it, or copy") from None
    return domain


def _check_labels(model: InstalledModel, listed: Datalist, data: Path) -> None:
    """InputError when a list is not about the labels of a model. One that names none is judged by its masks."""
    if names := [label.name for label in listed.table.labels]:
        fits = set(names) == set(model.labels)
    else:
        masks = [path for case in listed.training for path in ([case.label] if case.label else case.experts.values())]
        names = sorted({label.name for path in masks for label in read_labels(path).table.labels})
        fits = set(names) <= set(model.labels)
    if not fits:
        raise InputError(
            f"{data}: is about {', '.join(names)}, the model {model.name} about {', '.join(model.labels)}; "
            "give the list that it learned from"
        )
