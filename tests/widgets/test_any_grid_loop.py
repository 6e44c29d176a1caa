"""The loop on every kind of grid: what was painted on the screen lies in the same voxels of the exported file."""

from __future__ import annotations

import numpy as np
import pytest
import SimpleITK as sitk

from napari_deferredseg.core.records import Reader, Verdict
from napari_deferredseg.core.volume import LabelTable
from napari_deferredseg.io.writing import write_labels, write_volume
from napari_deferredseg.routing.budget import Budget
from napari_deferredseg.usecases.export import export_cases
from napari_deferredseg.usecases.project import init_project, open_project
from napari_deferredseg.usecases.running.predict import ExternalInput
from napari_deferredseg.usecases.running.run import run_external
from napari_deferredseg.widgets.viewer.orientation import Plane, show_plane

WAIT = 30_000


@pytest.fixture
def folder(any_volume, tmp_path):
    """Project with one case: the AI's box, and a second one that is longer."""
    first = np.zeros(any_volume.array.shape, np.uint8)
    first[6:16, 8:18, 8:18] = 3
    second = first.copy()
    second[6:16, 8:18, 18:28] = 3
    write_volume(tmp_path / "image.nii.gz", any_volume)
    for name, mask in (("a", first), ("b", second)):
        write_labels(tmp_path / f"{name}.nii.gz", mask, any_volume.geometry, LabelTable())
    with init_project(tmp_path / "project") as project:
        project.store.add_reader(Reader(login="ada", name="Ada"))
        files = ExternalInput(tmp_path / "image.nii.gz", (tmp_path / "a.nii.gz", tmp_path / "b.nii.gz"))
        report = run_external(project, files, Budget.parse("5 regions"))
        assert report.regions
    return tmp_path


def stroke(viewer, mouse, seat, plane) -> np.ndarray:
    """Paint in a plane through the middle of the region; the voxels that changed, in file order."""
    show_plane(viewer, plane)
    seat.picture.jump_to(seat.session.reading.item)
    correction, before = seat.layers.correction, seat.session.work.copy()
    seat.tools.pick(9)
    correction.brush_size = 1
    middle = np.round(correction.world_to_data(viewer.dims.point)).astype(int)
    steps = np.zeros(3, int)
    steps[list(viewer.dims.displayed)] = (2, 3)
    mouse.stroke(viewer, correction, [tuple(int(i) for i in middle), tuple(int(i) for i in middle + steps)])
    painted = np.argwhere(seat.session.work != before)
    axis = viewer.dims.order[0]
    assert len(painted) >= 2
    assert {int(i) for i in seat.layers.frame.to_view(painted)[:, axis]} == {int(middle[axis])}
    return painted


def test_paint_in_three_planes_submit_export(open_seat, mouse, qtbot, folder):
    viewer, panels = open_seat(900, 700)
    seat = panels["worklist"].seat
    seat.session.set_project(open_project(folder / "project"))
    seat.session.choose_reader("ada")
    seat.navigation.step(1)
    qtbot.waitUntil(lambda: seat.session.reading is not None, timeout=WAIT)
    painted = np.concatenate([stroke(viewer, mouse, seat, plane) for plane in Plane])
    seat.session.submit(Verdict.EDITED)

    (exported,) = export_cases(seat.session.need_project(), folder / "out")
    image, source = sitk.ReadImage(str(exported.files[0])), sitk.ReadImage(str(folder / "image.nii.gz"))
    np.testing.assert_allclose(image.GetDirection(), source.GetDirection(), rtol=0, atol=1e-6)
    np.testing.assert_allclose(image.GetOrigin(), source.GetOrigin(), rtol=0, atol=1e-6)
    expected = sitk.GetArrayFromImage(sitk.ReadImage(str(folder / "a.nii.gz")))
    expected[tuple(painted.T)] = 9
    np.testing.assert_array_equal(sitk.GetArrayFromImage(image), expected)
