"""What the losses get of a case: the arrays that each needs, cut at one place."""

from __future__ import annotations

from typing import TYPE_CHECKING, NamedTuple, Protocol, Self

if TYPE_CHECKING:
    from torch import Tensor

    from napari_deferredseg.core.volume import Array
    from napari_deferredseg.deferral.data.cases import PreparedCase


class Cut(Protocol):
    """A place in a case, at which arrays are cut."""

    def __call__(self, array: Array) -> Tensor:
        """Part of an array (..., z, y, x)."""
        ...

    def spacing(self, case: PreparedCase) -> Tensor:
        """Lengths of a voxel along the axes of a part, mm."""
        ...


class SegmentorBatch(NamedTuple):
    """Image (B, c, *S), reference classes (B, *S) and where they are known (B, *S)."""

    image: Tensor
    reference: Tensor
    known: Tensor

    @classmethod
    def of(cls, case: PreparedCase, cut: Cut) -> Self:
        """One item."""
        arrays = case.arrays
        return cls(cut(arrays.image.load()), cut(arrays.reference.load()), cut(arrays.known.load()))


class Answers(NamedTuple):
    """Reference and where it is known (B, *S); where each of K experts is right and where that is known (B, K, *S)."""

    reference: Tensor
    known: Tensor
    right: Tensor
    valid: Tensor

    @classmethod
    def of(cls, case: PreparedCase, cut: Cut) -> Self:
        """One item."""
        arrays = case.arrays
        return cls(*(cut(a.load()) for a in (arrays.reference, arrays.known, arrays.right, arrays.valid)))


class RouterBatch(NamedTuple):
    """Image (B, c, *S), scaled logits (B, C, *S), answers, and the lengths of a voxel (B, axes of S), mm."""

    image: Tensor
    scaled: Tensor
    answers: Answers
    spacing: Tensor

    @classmethod
    def of(cls, case: PreparedCase, cut: Cut) -> Self:
        """One item."""
        answers = Answers.of(case, cut)
        return cls(cut(case.arrays.image.load()), cut(case.output.scaled.load()), answers, cut.spacing(case))


class JointBatch(NamedTuple):
    """Image (B, c, *S) and answers."""

    image: Tensor
    answers: Answers

    @classmethod
    def of(cls, case: PreparedCase, cut: Cut) -> Self:
        """One item."""
        return cls(cut(case.arrays.image.load()), Answers.of(case, cut))
