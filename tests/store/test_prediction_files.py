from __future__ import annotations

import os
import stat

import numpy as np
import pytest

from napari_deferredseg.core.errors import Damaged, InputError
from napari_deferredseg.store.arrays import PredictionFiles


@pytest.fixture
def files(tmp_path) -> PredictionFiles:
    return PredictionFiles(tmp_path / "predictions")


def arrays(seed: int = 0, dtype=np.uint8):
    rng = np.random.default_rng(seed)
    labels, alternative = rng.integers(0, 200, (2, 5, 6, 7)).astype(dtype)
    return labels, alternative, rng.random((5, 6, 7), np.float32)


@pytest.mark.parametrize("dtype", [np.uint8, np.uint16])
def test_arrays_come_back(files, dtype):
    given = arrays(dtype=dtype)
    files.save("ab", *given)
    labels, alternative, defer = files.load("ab")
    assert labels.dtype == alternative.dtype == dtype
    assert np.array_equal(labels, given[0])
    assert np.array_equal(alternative, given[1])
    assert defer.dtype == np.float32
    assert np.abs(defer - given[2]).max() <= 2**-11


def test_what_is_loaded_cannot_be_painted_on(files):
    files.save("ab", *arrays())
    with pytest.raises(ValueError, match="read-only"):
        files.load("ab")[0][:] = 1


def test_the_same_again_is_harmless_and_another_run_replaces(files):
    files.save("ab", *arrays(1))
    kept = files.load("ab")
    files.save("ab", *arrays(1))
    files.save("ab", *arrays(2))
    assert np.array_equal(files.load("ab")[0], arrays(2)[0])
    assert np.array_equal(kept[0], arrays(1)[0])
    assert [p.name for p in files.folder.iterdir()] == ["ab"]


@pytest.mark.parametrize("name", ["labels", "alternative", "defer"])
def test_a_missing_or_damaged_file_is_one_line(files, name):
    files.save("ab", *arrays())
    path = files.folder / "ab" / f"{name}.npy"
    path.write_bytes(path.read_bytes()[:-3])
    with pytest.raises(Damaged, match="damaged"):
        files.load("ab")
    path.write_bytes(b"not an array")
    with pytest.raises(Damaged, match="damaged"):
        files.load("ab")
    path.unlink()
    with pytest.raises(Damaged, match=f"{name}.npy is missing"):
        files.load("ab")
    files.save("ab", *arrays())
    assert np.array_equal(files.load("ab")[0], arrays()[0])


def test_objects_are_never_loaded(files):
    files.save("ab", *arrays())
    np.save(files.folder / "ab" / "labels.npy", np.array([{"a": 1}], object), allow_pickle=True)
    with pytest.raises(Damaged, match="damaged"):
        files.load("ab")


def test_nothing_half_done_where_it_cannot_be_written(tmp_path):
    (tmp_path / "predictions").write_text("a file in the way")
    with pytest.raises(InputError, match="cannot be written"):
        PredictionFiles(tmp_path / "predictions").save("ab", *arrays())
    assert [p.name for p in tmp_path.iterdir()] == ["predictions"]


def test_a_save_that_fails_half_way_leaves_nothing(files):
    labels, alternative, defer = arrays()
    with pytest.raises(ValueError, match="pickle"):
        files.save("ab", labels, alternative.astype(object), defer)
    assert list(files.folder.iterdir()) == []


def test_ids_cannot_leave_the_folder(files):
    for bad in ("../x", "", "a/b", "."):
        with pytest.raises(ValueError, match="prediction id"):
            files.load(bad)


@pytest.mark.skipif(os.name != "posix", reason="Windows keeps permissions elsewhere")
def test_only_the_user_may_look(files):
    files.save("ab", *arrays())
    assert stat.S_IMODE(files.folder.stat().st_mode) == 0o700
