"""Enhanced multi-frame images: their frames as slices, and what makes several volumes of them.

highdicom reads the values.
"""

from __future__ import annotations

from collections import defaultdict
from dataclasses import replace
from typing import TYPE_CHECKING, Any

import highdicom
import numpy as np
from pydicom.datadict import tag_for_keyword
from pydicom.uid import UID, ExplicitVRLittleEndian

from napari_deferredseg.core.errors import InputError
from napari_deferredseg.io.dicom.coding.values import value_type
from napari_deferredseg.io.dicom.elements import caption, numbers, whole, words
from napari_deferredseg.io.dicom.headers import DAMAGED, read_header, read_whole
from napari_deferredseg.io.dicom.pixels import uncompressed
from napari_deferredseg.io.dicom.tags import rescale_of

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence
    from pathlib import Path

    from pydicom.dataset import Dataset

    from napari_deferredseg.core.volume import Array
    from napari_deferredseg.io.dicom.coding.decoder import Decoder
    from napari_deferredseg.io.dicom.tags import Slice

GROUPS = ("SharedFunctionalGroupsSequence", "PerFrameFunctionalGroupsSequence", "InConcatenationTotalNumber")
GROUP_TAGS = tuple(tag for tag in map(tag_for_keyword, GROUPS) if tag is not None)
VARYING = {
    "StackID": "FrameContentSequence",
    "TemporalPositionIndex": "FrameContentSequence",
    "EffectiveEchoTime": "MREchoSequence",
    "ComplexImageComponent": "MRImageFrameTypeSequence",
    "FrameType": "MRImageFrameTypeSequence",
    "DiffusionBValue": "MRDiffusionSequence",
    "FlipAngle": "MRTimingAndRelatedParametersSequence",
    "NominalCardiacTriggerDelayTime": "CardiacSynchronizationSequence",
    "NominalPercentageOfCardiacPhase": "CardiacSynchronizationSequence",
    "ConvolutionKernel": "CTReconstructionSequence",
    "KVP": "CTXRayDetailsSequence",
    "FrameAcquisitionNumber": "FrameContentSequence",
}
"""What tells the volumes of one object apart, and the group that states it; what people ask for first."""


def expanded(slices: Sequence[Slice]) -> list[Slice]:
    """Slices, with the frames of each enhanced image in its place.

    Raises
    ------
    InputError
        Frames that do not say where they lie, or make several volumes.
    """
    if all(s.frames == 1 and s.position for s in slices):
        return list(slices)
    every: list[Slice] = []
    facts: list[dict[str, str]] = []
    for s in slices:
        for frame, said in _frames(s, len(slices)):
            every.append(frame)
            facts.append(said)
    _require_one_volume(every, facts)
    return every


def frame_values(ordered: Sequence[Slice], decoder: Decoder) -> Iterator[Array]:
    """Values (rows, columns) of each frame, as highdicom reads them, in `value_type`.

    Raises
    ------
    InputError
        An object cannot be decoded.
    """
    images: dict[Path, highdicom.Image] = {}
    for s in ordered:
        if s.path not in images:
            images[s.path] = _image(s.path, decoder)
        try:
            found = images[s.path].get_frame(
                (s.frame or 0) + 1,
                dtype=np.float64,
                apply_real_world_transform=False,
                apply_voi_transform=False,
                apply_presentation_lut=False,
            )
        except (*DAMAGED, RuntimeError) as e:
            raise InputError(f"{s}: its pixels cannot be decoded; it is damaged, copy it again") from e
        yield found.astype(value_type(s.stored))


def _frames(s: Slice, files: int) -> list[tuple[Slice, dict[str, str]]]:
    tags = read_header(s.path, GROUP_TAGS).tags
    shared, each = tags.get(GROUPS[0]), tags.get(GROUPS[1])
    if not each:
        if s.frames == 1:
            return [(s, {})]
        kind = UID(s.sop_class).name.removesuffix(" Storage") or s.modality
        raise InputError(
            f"{s}: is a multi-frame {kind} ({s.frames} frames) that does not say where its frames lie; "
            "convert it with dcm2niix, or give another image"
        )
    if len(each) != s.frames:
        raise InputError(f"{s}: has {s.frames} frames and states the places of {len(each)}; it is damaged")
    parts = whole(s.path, tags, GROUPS[2]) or 1
    if parts > files:
        raise InputError(
            f"{s}: is one of {parts} parts of an image (a concatenation), {files} are here; copy all parts"
        )
    try:
        return [_frame(s, i, item, shared[0] if shared else item) for i, item in enumerate(each)]
    except DAMAGED as e:
        raise (
            e if isinstance(e, InputError) else InputError(f"{s}: its frames are described wrongly; copy it again")
        ) from e


def _frame(s: Slice, i: int, own: Dataset, shared: Dataset) -> tuple[Slice, dict[str, str]]:
    def group(name: str) -> Any:
        found = own.get(name) or shared.get(name)
        return found[0] if found else {}

    measures = group("PixelMeasuresSequence")
    apart = numbers(s.path, measures, "SpacingBetweenSlices")
    thickness = numbers(s.path, measures, "SliceThickness")
    kinds = [group(name) for name in ("MRImageFrameTypeSequence", "CTImageFrameTypeSequence")]
    frame = replace(
        s,
        frame=i if s.frames > 1 else None,
        image_type=(*s.image_type, *(word for kind in kinds for word in words(s.path, kind, "FrameType"))),
        instance_number=s.instance_number if s.frames == 1 else None,
        counts=s.counts if s.frames == 1 else (("NumberOfFrames", s.frames),),
        position=numbers(s.path, group("PlanePositionSequence"), "ImagePositionPatient"),
        orientation=numbers(s.path, group("PlaneOrientationSequence"), "ImageOrientationPatient"),
        pixel=numbers(s.path, measures, "PixelSpacing"),
        thickness=next((v for v in (*apart, *thickness) if v > 0), 1.0),
        apart=apart[0] if apart else 0.0,
        stored=replace(s.stored, rescale=rescale_of(s.path, group("PixelValueTransformationSequence"))),
    )
    return frame, {name: caption(s.path, group(sequence), name) for name, sequence in VARYING.items()}


def _require_one_volume(frames: Sequence[Slice], facts: Sequence[dict[str, str]]) -> None:
    places: dict[tuple[float, ...], list[int]] = defaultdict(list)
    for i, frame in enumerate(frames):
        places[tuple(round(v, 2) for v in frame.position)].append(i)
    most = max(places.values(), key=len)
    stacks = {said.get("StackID", "") for said in facts}
    first = frames[0]
    if len(most) > 1 and first.position:
        differ = [name for name in VARYING if len({facts[i].get(name, "") for i in most}) > 1]
        values = sorted({facts[i][differ[0]] for i in most}) if differ else []
        how = f", which differ in {differ[0]} ({', '.join(values[:4])})" if differ else ""
        raise InputError(
            f"{first.path}: holds several volumes, {frames[most[0]].name} and {frames[most[1]].name} lie at the same "
            f"place{how}; split it with dcm2niix and give one .nii.gz"
        )
    if len(stacks) > 1:
        raise InputError(
            f"{first.path}: holds several stacks (StackID {', '.join(sorted(stacks)[:4])}); "
            "split it with dcm2niix and give one .nii.gz"
        )


def _image(path: Path, decoder: Decoder) -> highdicom.Image:
    data = read_whole(path, None)
    if "PixelData" not in data:
        raise InputError(f"{path}: is cut off within its pixels; copy it again")
    try:
        if data["PixelData"].is_undefined_length:
            data.PixelData = uncompressed(path, data, decoder).tobytes()
            data["PixelData"].is_undefined_length = False
            data.file_meta.TransferSyntaxUID = ExplicitVRLittleEndian
            data.set_original_encoding(False, True)
        _drop_private_dimensions(data)
        return highdicom.Image.from_dataset(data, copy=False)
    except InputError:
        raise
    except (*DAMAGED, RuntimeError) as e:
        raise InputError(f"{path}: its frames cannot be read ({str(e)[:80]}); convert it with dcm2niix") from e


def _drop_private_dimensions(data: Dataset) -> None:
    """Makers order frames by tags of their own, which highdicom does not know; we order them by position anyway."""
    kept = [
        i
        for i, item in enumerate(data.get("DimensionIndexSequence") or [])
        if not item.DimensionIndexPointer.is_private
    ]
    if len(kept) == len(data.get("DimensionIndexSequence") or []):
        return
    data.DimensionIndexSequence = [data.DimensionIndexSequence[i] for i in kept]
    for frame in data.PerFrameFunctionalGroupsSequence:
        content = frame.FrameContentSequence[0]
        values = content.DimensionIndexValues
        content.DimensionIndexValues = [values[i] for i in kept]
