"""A series that lost slices at an end is refused where its files tell, and said to be of unknown length where not."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from napari_deferredseg.core.errors import InputError
from napari_deferredseg.io.dicom import read_series


@pytest.fixture
def series(tmp_path: Path, write_slice):
    """Writer of a series whose instance numbers are given by position."""

    def write(numbers, **tags) -> Path:
        folder = tmp_path / "series"
        folder.mkdir(exist_ok=True)
        for path in folder.iterdir():
            path.unlink()
        for z, number in enumerate(numbers):
            write_slice(folder / f"I{z}", (0, 0, 2 * z), InstanceNumber=number, **tags)
        return folder

    return write


def test_a_series_that_does_not_state_its_length_says_so(series) -> None:
    assert read_series(series(range(1, 6)), None).notes == ("series: 5 slices, the series does not state its length",)
    assert read_series(series([None]), None).notes == ("series: 1 slice, the series does not state its length",)


@pytest.mark.parametrize("tag", ["ImagesInAcquisition", "NumberOfSlices", "NumberOfSeriesRelatedInstances"])
def test_a_stated_length_is_believed(series, tag: str) -> None:
    assert read_series(series(range(1, 6), **{tag: 5}), None).notes == ()
    with pytest.raises(InputError, match=rf"slices are missing, I0 states 7 \({tag}\), 5 are here"):
        read_series(series(range(1, 6), **{tag: 7}), None)


def test_twice_as_many_images_may_be_two_phases(series) -> None:
    (note,) = read_series(series(range(1, 6), ImagesInAcquisition=10), None).notes
    assert "5 slices" in note
    assert "10 images (ImagesInAcquisition)" in note
    with pytest.raises(InputError, match="NumberOfSlices"):
        read_series(series(range(1, 6), NumberOfSlices=10), None)


def test_makers_own_counts_are_known(series, write_slice) -> None:
    folder = series(range(1, 6))
    for creator, group, element in (("Philips Imaging DD 001", 0x2001, 0x18), ("GEMS_RELA_01", 0x0021, 0x4F)):
        ds = write_slice(folder / "I4", (0, 0, 8), InstanceNumber=5)
        ds.private_block(group, creator, create=True).add_new(element, "SL", 9)
        ds.save_as(folder / "I4")
        with pytest.raises(InputError, match="I4 states 9"):
            read_series(folder, None)


@pytest.mark.parametrize(
    ("numbers", "line"),
    [
        ([2, 3, 4, 5, 6], r"begin at 2 \(I0\)"),
        ([9, 8, 7, 6, 5, 4], r"begin at 4 \(I5\)"),
        ([1, 4, 2, 6, 3], "jump from 4 .I1. to 6 .I3."),
        ([1, 3], "jump from 1"),
        ([3, 5, 7, 9], "begin at 3"),
    ],
)
def test_instance_numbers_tell_of_a_missing_end(series, numbers, line: str) -> None:
    with pytest.raises(InputError, match=line):
        read_series(series(numbers), None)


@pytest.mark.parametrize(
    "numbers", [[0, 1, 2, 3], [4, 3, 2, 1], [1, 3, 5, 7], [2, 4, 6], [1, 3, 2, 4], [1, 2, 4, 5], [7, 7]]
)
def test_instance_numbers_that_leave_no_end_open_are_taken(series, numbers) -> None:
    assert len(read_series(series(numbers), None).notes) == 1


def test_a_later_phase_is_read_and_said(series) -> None:
    notes = read_series(series([7, 8, 9]), None).notes
    assert any("begin at 7" in note and "phase" in note for note in notes)


def test_every_second_slice_is_missed_where_the_distance_is_stated(series) -> None:
    with pytest.raises(InputError, match="every 2"):
        read_series(series([1, 3, 5, 7], SpacingBetweenSlices=1), None)
    assert read_series(series([1, 3, 5, 7], SpacingBetweenSlices=2), None).array.shape[0] == 4


def test_unequal_spacing_is_not_called_missing_slices(tmp_path: Path, write_slice) -> None:
    places = [0, 2, 4, 6, 10, 14]
    for i, z in enumerate(places):
        write_slice(tmp_path / f"I{i}", (0, 0, z), InstanceNumber=i + 1)
    with pytest.raises(InputError, match=r"spacing is unequal, 2 mm between I0 and I1, 4 mm between I3 and I4"):
        read_series(tmp_path, None)
    for i, z in enumerate(places):
        write_slice(tmp_path / f"I{i}", (0, 0, z), InstanceNumber=z // 2 + 1)
    with pytest.raises(InputError, match=r"slices are missing, I3 and I4 are 4 mm apart, others 2"):
        read_series(tmp_path, None)


@settings(max_examples=40, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(angle=st.floats(1e-6, 0.02), size=st.sampled_from([4, 64, 256]), pixel=st.sampled_from([0.3, 1.0]))
def test_directions_may_jitter_by_a_tenth_of_a_millimetre(tmp_path: Path, write_slice, angle, size, pixel) -> None:
    rows = [(1, 0, 0, 0, 1, 0), (np.cos(angle), np.sin(angle), 0, -np.sin(angle), np.cos(angle), 0)]
    for z in range(4):
        write_slice(
            tmp_path / f"I{z}",
            (0, 0, z),
            ImageOrientationPatient=[float(f"{v:.12f}") for v in rows[z % 2]],
            PixelSpacing=[pixel, pixel],
            Rows=size,
            Columns=size,
            PixelData=bytes(2 * size * size),
        )
    off = 2 * np.sin(angle / 2) * np.hypot(size - 1, size - 1) * pixel  # of the far corner, between two slices
    if off <= 0.19:
        found = read_series(tmp_path, None).geometry
        far = found.lps((1, size - 1, size - 1))
        stated = np.array([0, 0, 1]) + (size - 1) * pixel * (np.array(rows[1][:3]) + rows[1][3:])
        assert np.linalg.norm(far - stated) <= 0.1001
    elif off > 0.2002:
        with pytest.raises(InputError, match=r"mm at the far corner") as caught:
            read_series(tmp_path, None)
        assert "localizer" not in str(caught.value)


def test_a_localizer_among_slices_is_called_one(tmp_path: Path, write_slice) -> None:
    for z in range(4):
        write_slice(tmp_path / f"I{z}", (0, 0, z))
    write_slice(tmp_path / "scout", (0, 0, 0), ImageOrientationPatient=[0, 1, 0, 0, 0, -1])
    with pytest.raises(InputError, match=r"scout: its orientation differs from I0.*localizer"):
        read_series(tmp_path, None)
