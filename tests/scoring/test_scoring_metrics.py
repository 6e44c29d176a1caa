from __future__ import annotations

import numpy as np
import pytest
import SimpleITK as sitk
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra.numpy import array_shapes, arrays
from monai.metrics import compute_hausdorff_distance, compute_surface_dice
from sklearn import metrics

from napari_deferredseg.scoring.metrics import (
    confusion,
    dice,
    dice_of,
    hd95,
    iou,
    iou_of,
    mean_of,
    nsd,
    sensitivity,
    sensitivity_of,
)

SHAPES = array_shapes(min_dims=3, max_dims=3, min_side=2, max_side=7)
PAIRS = SHAPES.flatmap(lambda s: st.tuples(arrays(np.bool_, s), arrays(np.bool_, s)))


def test_overlaps_of_a_case_counted_by_hand() -> None:
    truth = np.array([[[1, 1, 1, 0, 0]]], bool)
    mask = np.array([[[0, 1, 1, 1, 1]]], bool)
    assert dice(truth, mask) == pytest.approx(4 / 7)
    assert iou(truth, mask) == pytest.approx(2 / 5)
    assert sensitivity(truth, mask) == pytest.approx(2 / 3)


def test_empty_masks_are_as_the_definitions_say() -> None:
    empty, full = np.zeros((1, 4, 5), bool), np.ones((1, 4, 5), bool)
    assert (dice(empty, empty), iou(empty, empty), hd95(empty, empty, (1, 1, 1))) == (1, 1, 0)
    assert (dice(full, empty), dice(empty, full), sensitivity(full, empty)) == (0, 0, 0)
    assert hd95(full, empty, (9, 2, 3)) == hd95(empty, full, (9, 2, 3)) == pytest.approx(np.hypot(6, 12))
    assert np.isnan(sensitivity(empty, full))


def test_labels_are_averaged_over_those_that_are_there() -> None:
    counts = confusion(np.array([0, 1, 1, 3]), np.array([0, 1, 0, 0]), 4)
    assert dice_of(counts) == pytest.approx([2 / 3, np.nan, 0], nan_ok=True)
    assert mean_of(dice_of(counts), 1.0) == pytest.approx(1 / 3)


@given(PAIRS)
@settings(deadline=None, max_examples=60)
def test_overlaps_agree_with_simpleitk(pair: tuple[np.ndarray, np.ndarray]) -> None:
    truth, mask = pair
    if not truth.any():
        return
    measures = sitk.LabelOverlapMeasuresImageFilter()
    measures.Execute(*(sitk.GetImageFromArray(a.astype(np.uint8)) for a in (mask, truth)))
    assert dice(truth, mask) == pytest.approx(measures.GetDiceCoefficient())
    assert iou(truth, mask) == pytest.approx(measures.GetJaccardCoefficient())
    assert sensitivity(truth, mask) == pytest.approx(1 - measures.GetFalseNegativeError())


@given(PAIRS, st.tuples(*[st.sampled_from((0.5, 1.0, 2.5))] * 3))
@settings(deadline=None, max_examples=60)
def test_hd95_agrees_with_monai(pair: tuple[np.ndarray, np.ndarray], spacing: tuple[float, float, float]) -> None:
    truth, mask = pair
    if not truth.any() or not mask.any():
        return
    ours, theirs = (torch.from_numpy(a.astype(np.float32))[None, None] for a in (mask, truth))
    expected = compute_hausdorff_distance(ours, theirs, percentile=95, spacing=spacing, include_background=True)
    assert hd95(truth, mask, spacing) == pytest.approx(float(expected), rel=1e-5)


def test_flat_images_are_measured_within_the_plane() -> None:
    rng = np.random.default_rng(0)
    truth, mask = rng.random((2, 9, 11)) > 0.5
    ours, theirs = (torch.from_numpy(a.astype(np.float32))[None, None] for a in (mask, truth))
    expected = compute_hausdorff_distance(ours, theirs, percentile=95, spacing=(2.0, 1.0), include_background=True)
    assert hd95(truth[None], mask[None], (50.0, 2.0, 1.0)) == pytest.approx(float(expected))


def test_hd95_does_not_ask_where_in_the_array_a_mask_lies() -> None:
    truth, mask = np.zeros((2, 12, 14, 16), bool)
    truth[3:7, 4:9, 5:9] = True
    mask[4:8, 4:8, 6:12] = True
    moved = [np.roll(a, (2, 1, 3), (0, 1, 2)) for a in (truth, mask)]
    assert hd95(*moved, (3.0, 1.0, 0.7)) == pytest.approx(hd95(truth, mask, (3.0, 1.0, 0.7)))  # type: ignore[arg-type, call-arg]


SPACINGS = st.tuples(*[st.sampled_from((0.5, 1.0, 2.5))] * 3)


@given(PAIRS, SPACINGS, st.sampled_from((0.3, 1.3, 2.9)))
@settings(deadline=None, max_examples=60)
def test_nsd_agrees_with_monai(pair, spacing, tolerance) -> None:
    truth, mask = pair
    if not truth.any() or not mask.any():
        return
    tensors = [torch.from_numpy(a.astype(np.float32))[None, None] for a in (mask, truth)]
    expected = compute_surface_dice(*tensors, [tolerance], spacing=spacing, include_background=True)  # type: ignore[arg-type, call-arg, misc]
    assert nsd(truth, mask, spacing, tolerance) == pytest.approx(float(expected), rel=1e-5)


@given(PAIRS, SPACINGS)
@settings(deadline=None, max_examples=60)
def test_nsd_grows_with_the_tolerance_and_does_not_ask_which_mask_is_the_truth(pair, spacing) -> None:
    truth, mask = pair
    found = [nsd(truth, mask, spacing, t) for t in (0.1, 1.0, 2.0, 100.0)]
    assert found == sorted(found)
    assert nsd(mask, truth, spacing, 1.0) == found[1]
    assert found[-1] == (1 if truth.any() == mask.any() else 0)
    assert nsd(truth, truth, spacing, 0.1) == 1


def test_nsd_of_a_case_counted_by_hand() -> None:
    """Two bars in one row, one of them 3 voxels of 0.7 mm longer: their far ends are exactly 2.1 mm apart."""
    truth, mask = np.zeros((2, 1, 1, 12), bool)
    truth[0, 0, 2:5] = True
    mask[0, 0, 2:8] = True
    ends = (1.0, 1.0, 0.7)
    assert nsd(truth, mask, ends, 2.1) == 1
    assert nsd(truth, mask, ends, 2.0) == pytest.approx(3 / 4)
    empty = np.zeros_like(truth)
    assert (nsd(empty, empty, ends), nsd(truth, empty, ends), nsd(empty, truth, ends)) == (1, 0, 0)


def _itk_hd95(truth: np.ndarray, mask: np.ndarray, spacing: tuple[float, ...]) -> float:
    """HD95 by SimpleITK alone: its contours, and its distance map of one of them read at the other's voxels."""
    contours = []
    for array in (truth, mask):
        image = sitk.GetImageFromArray(np.pad(array, 1).astype(np.uint8))
        image.SetSpacing(spacing[::-1])
        contours.append(sitk.BinaryContour(image, fullyConnected=False))
    percentiles = []
    for one, other in (contours, contours[::-1]):
        far = sitk.DanielssonDistanceMap(other, inputIsBinary=True, squaredDistance=False, useImageSpacing=True)
        percentiles.append(np.percentile(sitk.GetArrayFromImage(far)[sitk.GetArrayFromImage(one) > 0], 95))
    return float(max(percentiles))


@pytest.mark.parametrize("seed", range(6))
def test_hd95_agrees_with_the_distance_maps_of_simpleitk(seed: int) -> None:
    rng = np.random.default_rng(seed)
    spacing = tuple(rng.choice((0.8, 1.0, 2.5), 3).tolist())
    at = np.stack(np.meshgrid(*(np.arange(n) * s for n, s in zip((14, 18, 20), spacing, strict=True)), indexing="ij"))
    middle = at.reshape(3, -1).mean(axis=1)
    balls = [
        sum((a - m) ** 2 for a, m in zip(at, middle + rng.normal(0, 1.5, 3), strict=True)) < r**2
        for r in rng.uniform(3, 6, 2)
    ]
    assert hd95(*balls, spacing) == pytest.approx(_itk_hd95(*balls, spacing), abs=1e-3)  # type: ignore[call-arg]


@given(st.integers(0, 10_000))
@settings(deadline=None, max_examples=30)
def test_overlaps_of_labels_agree_with_scikit_learn(seed: int) -> None:
    rng = np.random.default_rng(seed)
    truth, mask = rng.integers(0, 4, (2, 3, 4, 5))
    counts = confusion(truth, mask, 4)
    flat, labels = (truth.ravel(), mask.ravel()), [1, 2, 3]
    assert counts.tolist() == metrics.confusion_matrix(*flat, labels=[0, 1, 2, 3]).tolist()
    assert dice_of(counts) == pytest.approx(metrics.f1_score(*flat, labels=labels, average=None), nan_ok=True)
    assert iou_of(counts) == pytest.approx(metrics.jaccard_score(*flat, labels=labels, average=None), nan_ok=True)
    assert sensitivity_of(counts) == pytest.approx(
        metrics.recall_score(*flat, labels=labels, average=None), nan_ok=True
    )
