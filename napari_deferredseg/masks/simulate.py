"""Readers who err on purpose: recorded, seeded, wrong in patches as people are, never voxel by voxel."""

from __future__ import annotations

import hashlib
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np
from pydantic import BaseModel, ConfigDict, Field
from scipy import ndimage
from scipy.special import ndtri

from napari_deferredseg.core.boxes import bounding_box, grown, slices
from napari_deferredseg.core.random_field import smooth_field
from napari_deferredseg.core.volume import labels_present

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from napari_deferredseg.core.geometry import Vector
    from napari_deferredseg.core.volume import Array

INSIDE, BORDER, OUTSIDE, FAR = 0, 1, 2, 3
ZONES = ("inside", "border", "outside")


class ReaderProfile(BaseModel):
    """How often a simulated reader is right, and where.

    Attributes
    ----------
    name : str
        The reader.
    inside, border, outside : float
        Share of voxels that the reader labels right: in a label away from any border; within `border_mm` of a border,
        on either side; in the background, from there to `reach_mm`. Farther from every label nobody is wrong.
    border_mm : float
        Half the width of the border zone, mm.
    patch_mm : float
        Width of a wrong patch: the correlation length of the errors, mm.
    reach_mm : float
        How far from any label the reader may still see one, mm.
    """

    model_config = ConfigDict(frozen=True, extra="forbid")

    name: str = Field(min_length=1)
    inside: float = Field(ge=0, le=1)
    border: float = Field(ge=0, le=1)
    outside: float = Field(ge=0, le=1)
    border_mm: float = Field(default=5.0, gt=0)
    patch_mm: float = Field(default=16.0, gt=0)
    reach_mm: float = Field(default=30.0, gt=0)


PROFILES = {
    "inside": ReaderProfile(name="inside", inside=0.985, border=0.90, outside=0.96),
    "outside": ReaderProfile(name="outside", inside=0.88, border=0.90, outside=0.995),
    "border": ReaderProfile(name="border", inside=0.90, border=0.985, outside=0.96),
    "all-round": ReaderProfile(name="all-round", inside=0.94, border=0.94, outside=0.985),
}


@dataclass(frozen=True)
class Surroundings:
    """What a reader could take each voxel for.

    Attributes
    ----------
    label : (z, y, x) uint8 or uint16
        The truth.
    other : (z, y, x), dtype of `label`
        The nearest other value, 0 for background; the label itself where a volume holds only one value.
    distance : (z, y, x) float32
        How far that lies away, mm; infinite where there is none.
    spacing_zyx : (sz, sy, sx)
        Distance of voxel centres, mm.
    """

    label: Array
    other: Array
    distance: NDArray[np.float32]
    spacing_zyx: Vector

    def zones(self, profile: ReaderProfile) -> NDArray[np.uint8]:
        """Zone (z, y, x) of each voxel: `INSIDE`, `BORDER`, `OUTSIDE` or `FAR`."""
        zones = np.where(self.label > 0, INSIDE, OUTSIDE).astype(np.uint8)
        zones[self.distance <= profile.border_mm] = BORDER
        zones[(self.label == 0) & (self.distance > max(profile.reach_mm, profile.border_mm))] = FAR
        zones[np.isinf(self.distance)] = FAR
        return zones


def surroundings(label: Array, spacing_zyx: Vector) -> Surroundings:
    """Find the nearest other value of every voxel.

    Parameters
    ----------
    label : (z, y, x) uint8 or uint16
        The truth.
    spacing_zyx : (sz, sy, sx)
        Distance of voxel centres, mm.
    """
    other = label.copy()
    distance = np.full(label.shape, np.inf, np.float32)
    for value in (0, *labels_present(label)):
        box = bounding_box(label == value)
        if box is None:
            continue
        # The voxel nearest to a box that lies outside of it touches it: one voxel of margin is enough.
        z, y, x = label.shape
        index = slices(grown(box, (1, 1, 1), (z, y, x)))
        crop = label[index]
        mask = crop == value
        if mask.all():
            continue
        away, nearest = ndimage.distance_transform_edt(mask, sampling=spacing_zyx, return_indices=True)
        distance[index][mask] = away[mask]
        other[index][mask] = crop[tuple(axis[mask] for axis in nearest)]
    return Surroundings(label, other, distance, spacing_zyx)


def read_as(truth: Surroundings, profile: ReaderProfile, rng: np.random.Generator) -> Array:
    """Label a volume as a reader with this profile would.

    A smooth random field decides where. A border is wrong on one side only: where the field is low the label with the
    higher value loses ground to its neighbour, where it is high it gains; deep inside, a low field cuts a hole.

    Parameters
    ----------
    truth : Surroundings
        Of the true labels.
    profile : ReaderProfile
        The reader.
    rng : numpy.random.Generator
        As `reader_rng` makes it: the same one, the same reading.

    Returns
    -------
    (z, y, x), dtype of the labels
    """
    z, y, x = truth.label.shape
    field = smooth_field((z, y, x), truth.spacing_zyx, profile.patch_mm, rng)
    field[truth.other > truth.label] *= -1
    wrong_share = 1 - np.array([profile.inside, profile.border, profile.outside, 1.0])
    threshold = ndtri(wrong_share).astype(np.float32)
    wrong = field < threshold[truth.zones(profile)]
    return np.where(wrong, truth.other, truth.label)


def reader_rng(seed: int, case: str, reader: str) -> np.random.Generator:
    """Random numbers for one reader and one case, whatever else is recorded before or after."""
    digest = hashlib.blake2b(f"{case}\n{reader}".encode(), digest_size=16).digest()
    return np.random.default_rng([seed, int.from_bytes(digest, "big")])


def count_right(truth: Surroundings, reading: Array, profile: ReaderProfile) -> NDArray[np.int64]:
    """Count voxels (3, 2) of each of `ZONES`: those that the reading has right, and all."""
    zones = truth.zones(profile)
    right = np.bincount(zones[reading == truth.label], minlength=4)
    return np.stack([right, np.bincount(zones.ravel(), minlength=4)], axis=1)[:FAR].astype(np.int64)
