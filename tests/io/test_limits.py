from __future__ import annotations

import pytest

from napari_deferredseg.core.errors import InputError
from napari_deferredseg.io.limits import DEFAULT_GIB, GIB, SETTING, most_bytes, require_fits


def test_sixteen_gibibytes_are_the_rule() -> None:
    assert most_bytes() == DEFAULT_GIB * GIB == 16 * 2**30
    require_fits("a.nii", (2048, 2048, 1024), 4)
    with pytest.raises(
        InputError, match=r"a\.nii: claims 2048 x 2048 x 1025 voxels, 16\.0 GiB.*DEFERREDSEG_VOXELS_GIB"
    ):
        require_fits("a.nii", (2048, 2048, 1025), 4)


def test_the_setting_moves_the_limit(monkeypatch) -> None:
    monkeypatch.setenv(SETTING, "0.5")
    with pytest.raises(InputError, match=r"0\.5 GiB"):
        require_fits("a.nii", (1024, 1024, 513), 1)
    require_fits("a.nii", (1024, 1024, 512), 1)


@pytest.mark.parametrize("text", ["many", "-1", "0", "nan", "inf"])
def test_a_setting_that_is_no_size_is_refused(monkeypatch, text: str) -> None:
    monkeypatch.setenv(SETTING, text)
    with pytest.raises(InputError, match=f"{SETTING}=.* is no number"):
        most_bytes()
