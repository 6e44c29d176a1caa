"""What a run says it covers and leaves out, for masks and for maps."""

from __future__ import annotations

import numpy as np

from napari_deferredseg.core.budget import Budget
from napari_deferredseg.core.geometry import Geometry
from napari_deferredseg.core.prediction import Prediction
from napari_deferredseg.core.volume import LabelTable
from napari_deferredseg.routing.regions import make_regions

SHAPE = (10, 30, 30)
GEOMETRY = Geometry(shape=SHAPE, spacing=(1.0, 1.0, 1.0))


def account(labels, other, defer, voxels, votes):
    labels, other = np.asarray(labels, np.uint8), np.asarray(other, np.uint8)
    p = Prediction(labels, np.asarray(defer, np.float32), other, GEOMETRY, LabelTable(), "m", votes=votes)
    budget = Budget(amount=min((voxels + 0.5) / labels.size, 1), unit="voxels")
    return str(make_regions(p, "case", "run", budget, sigma_mm=0.0).account)


def test_masks():
    labels = np.zeros(SHAPE)
    labels[2:5, 2:5, 2:5] = labels[2:8, 15:25, 15:25] = 1
    differs = labels > 0
    assert account(labels, labels * 0, differs, 100, votes=1) == (
        "the masks differ in 627 voxels (100.00% of the AI's foreground); the regions cover 27 of these; "
        "left out: 600 voxels for which the budget has no room (the next piece takes 600 voxels)"
    )
    assert account(labels, labels * 0, differs, 9000, votes=1) == (
        "the masks differ in 627 voxels (100.00% of the AI's foreground); the regions cover all of these"
    )
    assert "the masks do not differ" in account(labels, labels, labels * 0, 100, votes=1)


def test_a_map():
    labels, doubt = np.ones(SHAPE), np.zeros(SHAPE)
    doubt[4:6, 5:15, 5:15], doubt[4:6, 5:15, 20:25] = 0.9, 0.5
    doubt[1, :5, :5] = 0.1
    assert account(labels, labels * 0, doubt, 200, votes=0) == (
        "the deferral map reaches 0.2, the least that is read, in 300 voxels (3.33% of the AI's foreground); "
        "the regions cover 200 of these; left out: 100 voxels for which the budget has no room: the map is lower there "
        "than in the regions; 25 more, where the map is above zero but below 0.2, are never sent"
    )
    faint = account(labels, labels * 0, np.minimum(doubt, 0.1), 200, votes=0)
    assert faint == "the deferral map reaches 0.2, the least that is read, nowhere; it is above zero in 325 voxels"


def test_specks_that_a_budget_does_not_reach():
    labels, other = np.ones(SHAPE), np.ones(SHAPE)
    other[2, 5, 5] = other[8, 25, 25] = 0
    assert "left out: 1 voxel in specks for which the budget has no room (the next piece takes 1 " in account(
        labels, other, labels != other, 1, votes=1
    )
    other[4:7, 8:18, 8:18] = 0
    assert "1 voxel in specks far from anything larger, which come last, and 301 voxels for which" in account(
        labels, other, labels != other, 100, votes=1
    )


def test_a_map_without_a_slope():
    labels, doubt = np.ones(SHAPE), np.zeros(SHAPE)
    doubt[4:6, 5:15, 5:15] = 0.9
    assert "left out: 150 voxels for which the budget has no room: it is spent, though the map is equally high" in (
        account(labels, labels * 0, doubt, 50, votes=0)
    )
    doubt[4:6, 5:15, 15:20] = 0.5
    assert "it is spent, the map is equally high in 150 of them and lower in the others" in (
        account(labels, labels * 0, doubt, 50, votes=0)
    )
    nothing = account(labels, labels * 0, doubt, 5, votes=0)
    assert (
        "the regions cover none of these; left out: 5 voxels in specks where the budget ends and 295 voxels" in nothing
    )
    assert "it is smaller than the smallest piece that is sent, 8 voxels" in nothing
    doubt[9, ::6, ::6] = 1
    lone = account(labels, labels * 0, doubt, 25, votes=0)
    assert "25 voxels in specks far from anything larger that is sent and 300 voxels" in lone
    assert "where the map is highest are specks only" in lone
