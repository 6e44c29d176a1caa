"""What a run says it covers and leaves out, for masks and for maps."""

from __future__ import annotations

import numpy as np

from napari_deferredseg.core.geometry import Geometry
from napari_deferredseg.core.prediction import Prediction
from napari_deferredseg.core.volume import LabelTable
from napari_deferredseg.routing.budget import Budget
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
