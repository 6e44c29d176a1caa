"""One reader, two napari windows, one region: nothing painted in either is lost, and one of both is exported."""

from __future__ import annotations

import numpy as np
import pytest
import SimpleITK as sitk
from qtpy.QtCore import Qt


def exported(desk, folder) -> np.ndarray:
    panel = desk.panels["export"]
    panel.folder.value = folder
    desk.click(panel.export_button)
    desk.wait(lambda: bool(panel.result.text()))
    (mask,) = folder.glob("*.nii.gz")
    return sitk.GetArrayFromImage(sitk.ReadImage(str(mask)))


def by_row(desk) -> None:
    desk.open_row(1)


def by_key(desk) -> None:
    desk.key(Qt.Key.Key_U)


def by_button(desk) -> None:
    desk.settle()
    desk.click(desk.worklist.region.buttons.amend)


@pytest.mark.parametrize("again", [by_row, by_key, by_button])
def test_two_windows_on_one_region(desk, open_seat, mouse, qtbot, tmp_path, again):
    viewer, panels = open_seat(900, 720)
    other = type(desk)(viewer, panels, mouse, qtbot, desk.scene)
    for window in (desk, other):
        window.sit_down()
        window.open_row(1)
    assert "another window" not in desk.notice
    assert "Region 1 is open in another window of yours" in other.notice

    desk.paint(7)
    other.paint(8, down=2, right=1)
    works = [desk.session.work.copy(), other.session.work.copy()]
    assert not np.array_equal(*works)
    desk.wait(lambda: len(desk.drafts()) == 2)
    desk.click(desk.worklist.region.buttons.submit)
    desk.wait(lambda: [d.id for d in desk.drafts()] == [other.session.reading.correction_id])
    np.testing.assert_array_equal(exported(desk, tmp_path / "first"), works[0])

    other.click(other.worklist.region.buttons.submit)
    assert "you have submitted region 1 of" in other.notice
    assert "another window" in other.notice
    assert other.number == 1
    np.testing.assert_array_equal(other.session.work, works[1])
    np.testing.assert_array_equal(exported(desk, tmp_path / "still"), works[0])

    again(other)
    assert other.number == 1
    assert other.session.reading.supersedes
    assert "Your earlier work on this region is back" in other.notice
    np.testing.assert_array_equal(other.session.work, works[1])
    other.click(other.worklist.region.buttons.submit)
    other.wait(lambda: other.drafts() == [])
    np.testing.assert_array_equal(exported(other, tmp_path / "second"), works[1])
    assert [len(other.store.history(c.region_id)) for c in other.store.corrections()] == [2]
