from __future__ import annotations

import subprocess
import sys

import numpy as np
import pytest
import SimpleITK as sitk
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp

from napari_deferredseg.core.errors import InputError
from napari_deferredseg.core.geometry import Geometry
from napari_deferredseg.core.volume import LabelMap, Probabilities, table_from_names
from napari_deferredseg.masks.external import from_labels, from_probabilities

SHAPE = (2, 3, 4)
GRID = Geometry(shape=SHAPE, spacing=(1, 1, 1))


def label_map(array, source="a.nii.gz", names=None):
    geometry = Geometry(shape=array.shape, spacing=(1, 1, 1))
    return LabelMap(np.asarray(array, np.uint8), geometry, source, table_from_names(names or {}))


def logits(c):
    return hnp.arrays(np.float32, (c, *SHAPE), elements=st.floats(-5, 5, width=32))


def softmax(a):
    e = np.exp(a - a.max(axis=0))
    return (e / e.sum(axis=0)).astype(np.float32)


def test_votes_become_the_deferral_map():
    first = np.zeros(SHAPE, np.uint8)
    second, third = first.copy(), first.copy()
    second[0, 0, :2] = 1
    third[0, 0, 0] = 2
    third[0, 0, 1] = 1
    p = from_labels(label_map(first), [label_map(second, "b"), label_map(third, "c")])
    assert p.defer[0, 0].tolist() == [1, 1, 0, 0]
    assert p.alternative[0, 0].tolist() == [1, 1, 0, 0]
    assert p.model_id == "external:labels"
    assert p.experts == ()
    assert p.table.name(2) == "label 2"


@pytest.mark.parametrize("highest", [3, 255, 256, 65535])
def test_labels_take_no_more_memory_than_they_must(highest):
    first, second = np.zeros(SHAPE, np.uint16), np.full(SHAPE, highest, np.uint16)
    second[0] = 1
    maps = [LabelMap(x, GRID, name) for x, name in ((first, "a"), (second, "b"))]
    p = from_labels(maps[0], maps[1:])
    assert p.labels.dtype == np.uint8
    assert p.alternative.dtype == (np.uint8 if highest <= 255 else np.uint16)
    np.testing.assert_array_equal(p.alternative, second)
    np.testing.assert_array_equal(p.defer, first != second)
    turned = from_labels(maps[1], maps[:1])
    np.testing.assert_array_equal(turned.labels, second)
    assert turned.labels.dtype == p.alternative.dtype


def test_names_of_the_first_mask_win_and_are_completed():
    a = label_map(np.full(SHAPE, 1), "a", {1: "liver"})
    b = label_map(np.full(SHAPE, 3), "b", {1: "hepar", 2: "spleen"})
    table = from_labels(a, [b]).table
    assert [table.name(v) for v in (1, 2, 3)] == ["liver", "spleen", "label 3"]


@given(logits(4), hnp.arrays(np.uint8, SHAPE, elements=st.integers(0, 3)))
def test_entropy_is_normalised_and_the_alternative_is_the_best_other_class(a, mask):
    q = softmax(a)
    p = from_probabilities(label_map(mask), Probabilities(q, GRID, "p.nii.gz"))
    with np.errstate(divide="ignore", invalid="ignore"):
        entropy = -np.nansum(q * np.log(q), axis=0) / np.log(4)
    np.testing.assert_allclose(p.defer, np.clip(entropy, 0, 1), atol=1e-5)
    assert ((p.alternative != mask) == (p.defer > 0)).all()
    rest = q.copy()
    np.put_along_axis(rest, mask[None].astype(int), -1, axis=0)
    np.testing.assert_array_equal(p.alternative, rest.argmax(axis=0))


def test_a_sure_model_defers_nothing_and_an_unsure_one_everything():
    q = np.zeros((3, *SHAPE), np.float32)
    q[0] = 1
    p = from_probabilities(label_map(np.zeros(SHAPE)), Probabilities(q, GRID, "p"))
    assert not p.defer.any()
    assert not p.alternative.any()
    p = from_probabilities(label_map(np.zeros(SHAPE)), Probabilities(np.full_like(q, 1 / 3), GRID, "p"))
    np.testing.assert_allclose(p.defer, 1, atol=1e-6)


def one_line(error):
    return "\n" not in str(error.value)


def test_refuses_votes_that_cannot_be_compared():
    first = label_map(np.zeros(SHAPE), "first.nii.gz", {1: "liver"})
    with pytest.raises(InputError, match=r"first\.nii\.gz.*second one") as error:
        from_labels(first, [])
    assert one_line(error)
    with pytest.raises(InputError, match=r"other\.nii\.gz.*\(1, 1, 1\)"):
        from_labels(first, [label_map(np.zeros((1, 1, 1)), "other.nii.gz")])
    with pytest.raises(InputError, match=r"other\.nii\.gz.*'Liver'.*value 2"):
        from_labels(first, [label_map(np.zeros(SHAPE), "other.nii.gz", {2: "Liver"})])


@pytest.mark.parametrize(
    ("probabilities", "label", "message"),
    [
        (np.full((3, *SHAPE), 1 / 3), 5, "label 5 has no channel"),
        (np.ones((1, *SHAPE)), 0, "1 channel"),
        (np.full((2, *SHAPE), 40.0), 0, "from 40 to 40"),
        (np.full((2, *SHAPE), np.nan), 0, "nan"),
        (np.full((2, 1, 1, 1), 0.5), 0, "resample"),
    ],
)
def test_refuses_what_are_no_probabilities_of_this_mask(probabilities, label, message):
    geometry = Geometry(shape=probabilities.shape[1:], spacing=(1, 1, 1))
    with pytest.raises(InputError, match=message) as error:
        from_probabilities(
            label_map(np.full(SHAPE, label)), Probabilities(probabilities.astype(np.float32), geometry, "p.nii.gz")
        )
    assert one_line(error)
    assert "p.nii.gz" in str(error.value)


def test_needs_no_torch():
    code = "import sys, napari_deferredseg.masks.external as e; sys.exit('torch' in sys.modules)"
    assert subprocess.run([sys.executable, "-c", code], check=False).returncode == 0


@pytest.mark.data
def test_two_ai_masks_of_an_abdomen(data):
    maps = []
    for name in ("ct_small_ai_mask_a.nii.gz", "ct_small_ai_mask_b.nii.gz"):
        image = sitk.ReadImage(str(data / "abdomen_ct" / name))
        maps.append(label_map(sitk.GetArrayFromImage(image), name))
    p = from_labels(maps[0], [maps[1]])
    assert (p.defer > 0).mean() == pytest.approx(0.021, abs=0.001)
    np.testing.assert_array_equal(p.alternative, maps[1].array)
