from __future__ import annotations

import errno
import os
import shutil

import nibabel as nib
import numpy as np
import pytest
from napari.components import ViewerModel
from napari.layers import Image, Labels, Layer
from napari.utils.notifications import notification_manager
from npe2 import DynamicPlugin

from napari_deferredseg.core.errors import InputError
from napari_deferredseg.core.volume import Volume, table_from_names
from napari_deferredseg.io.images import read_labels, read_volume, write_labels, write_volume
from napari_deferredseg.widgets.plugin import files
from napari_deferredseg.widgets.plugin.files import get_reader, write_labels_layer
from napari_deferredseg.widgets.viewer.volume_layers import in_place, info_of


def opened(path):
    return [Layer.create(*part) for part in get_reader(str(path))(str(path))]


def save(layer, path):
    data, meta, _ = layer.as_layer_data_tuple()
    return write_labels_layer(str(path), data, meta)


def test_an_image_stands_in_its_frame(tmp_path, any_volume):
    path = tmp_path / "image.nrrd"
    write_volume(path, any_volume)
    (layer,) = opened(path)
    assert isinstance(layer, Image)
    assert layer.name == "image"
    assert in_place(layer)
    info = info_of(layer)
    assert info.geometry.same_grid(any_volume.geometry)
    np.testing.assert_array_equal(info.frame.file_order(layer.data), any_volume.array)


def test_labels_go_there_and_back_on_the_exact_grid(tmp_path, any_volume):
    source = tmp_path / "organ.nrrd"
    array = (any_volume.array > 1000).astype(np.uint8) * 3
    write_labels(source, array, any_volume.geometry, table_from_names({3: "spleen"}))
    (layer,) = opened(source)
    assert isinstance(layer, Labels)
    np.testing.assert_allclose(layer.get_color(3)[:3], np.array(info_of(layer).table.get(3).color) / 255, atol=1e-6)
    layer.data_setitem((np.array([0]), np.array([1]), np.array([2])), 3)
    target = tmp_path / "saved.nrrd"
    assert save(layer, target) == [str(target)]
    back = read_labels(target)
    assert back.geometry.difference(any_volume.geometry, 1e-4) is None
    array[tuple(info_of(layer).frame.to_file((0, 1, 2)))] = 3
    np.testing.assert_array_equal(back.array, array)
    assert back.array.dtype == np.uint8
    assert back.table.name(3) == "spleen"


@pytest.mark.parametrize(
    ("name", "make", "kind"),
    [
        ("scan.nii", lambda a: a, Image),
        ("segment.nii", lambda a: a, Image),
        ("scan.nii", lambda a: (a > 0).astype(np.uint8), Labels),
        ("scan.nii", lambda a: (a > 0).astype(np.float32), Image),
        ("liver_mask.nii", lambda a: (a > 0).astype(np.float32), Labels),
        ("liver_mask.nii", lambda a: a.astype(np.float32) / 7, Image),
        ("scan.nii", lambda a: (a % 200).astype(np.uint8), Image),
        ("labels.nii", lambda a: (a % 200).astype(np.uint8), Labels),
        ("labels.nii", lambda a: a + np.int16(1000), Image),
    ],
)
def test_label_maps_are_told_from_images(tmp_path, make_volume, name, make, kind):
    volume = make_volume()
    write_volume(tmp_path / name, Volume(make(volume.array), volume.geometry, name))
    (layer,) = opened(tmp_path / name)
    assert isinstance(layer, kind)


def test_named_segments_make_a_label_map(tmp_path, make_volume):
    volume = make_volume()
    array = (volume.array % 100).astype(np.uint8)
    write_labels(
        tmp_path / "scan.nrrd", array, volume.geometry, table_from_names({n: f"part {n}" for n in range(1, 100)})
    )
    (tmp_path / "scan.labels.csv").unlink()
    (layer,) = opened(tmp_path / "scan.nrrd")
    assert info_of(layer).table.name(7) == "part 7"


def test_a_broken_file_is_one_line_and_no_layer(tmp_path):
    path = tmp_path / "broken.nii.gz"
    path.write_bytes(b"nothing")
    before = len(notification_manager.records)
    assert get_reader(str(path))(str(path)) == [(None,)]
    (note,) = notification_manager.records[before:]
    assert "broken.nii.gz" in note.message
    assert "\n" not in note.message
    assert str(note.severity) == "error"


def test_a_disk_that_fails_is_one_line_and_no_layer(tmp_path, monkeypatch):
    def fail(*args):
        raise OSError(errno.EIO, "Input/output error")

    monkeypatch.setattr(files, "choose_series", fail)
    before = len(notification_manager.records)
    assert get_reader(str(tmp_path / "a.nii"))(str(tmp_path / "a.nii")) == [(None,)]
    (note,) = notification_manager.records[before:]
    assert "a.nii: cannot be read (Input/output error)" in note.message


def test_through_napari_a_broken_file_opens_nothing_and_asks_nothing(tmp_path, make_volume):
    broken, good = tmp_path / "broken.nrrd", tmp_path / "good.nrrd"
    broken.write_text("NRRD nothing")
    write_volume(good, make_volume())
    viewer = ViewerModel()
    with DynamicPlugin("files-under-test") as plugin:
        plugin.contribute.reader(filename_patterns=["*.nrrd"])(get_reader)
        assert viewer.open(broken, plugin="files-under-test") == []
        (layer,) = viewer.open(good, plugin="files-under-test")
    assert list(viewer.layers) == [layer]
    assert in_place(layer)


@pytest.mark.parametrize("suffix", [".nii.gz", ".nrrd", ".mha"])
def test_a_name_that_is_not_utf_8_opens_and_saves_like_any_other(tmp_path, make_volume, suffix):
    volume = make_volume()
    write_labels(tmp_path / f"mask{suffix}", (volume.array % 5).astype(np.uint8), volume.geometry, table_from_names({}))
    folder = tmp_path / os.fsdecode(b"M\xfcller")
    try:
        folder.mkdir()
    except (OSError, UnicodeError):
        pytest.skip("this file system has UTF-8 names only")
    source = folder / os.fsdecode(b"M\xfcller" + suffix.encode())
    shutil.move(tmp_path / f"mask{suffix}", source)
    (layer,) = opened(source)
    assert layer.name == r"M\udcfcller"
    save(layer, source.with_name(f"saved{suffix}"))
    np.testing.assert_array_equal(read_labels(source.with_name(f"saved{suffix}")).array, volume.array % 5)
    source.write_bytes(b"nothing")
    before = len(notification_manager.records)
    assert get_reader(str(source))(str(source)) == [(None,)]
    (note,) = notification_manager.records[before:]
    assert r"M\udcfcller" in note.message


def test_what_was_decided_in_reading_is_shown(tmp_path):
    header = nib.Nifti1Header()
    header.set_data_shape((4, 5, 6))
    header.set_qform(np.eye(4), 1)
    header.set_sform(np.diag([-1, -1, 1, 1]), 2)
    nib.save(nib.Nifti1Image(np.zeros((4, 5, 6), np.float32), None, header), tmp_path / "a.nii")
    before = len(notification_manager.records)
    assert len(opened(tmp_path / "a.nii")) == 1
    (note,) = notification_manager.records[before:]
    assert "the sform was taken" in note.message
    assert str(note.severity) == "info"


@pytest.mark.parametrize("name", ["a.png", "a.tif", "a.txt", "a.gz"])
def test_other_files_are_left_to_others(tmp_path, name):
    (tmp_path / name).write_bytes(b"DICM" * 50)
    assert get_reader(str(tmp_path / name)) is None


def test_folders_without_dicom_and_lists_are_left_to_others(tmp_path):
    (tmp_path / "a.nii").write_bytes(b"")
    assert get_reader(str(tmp_path)) is None
    assert get_reader([str(tmp_path / "a.nii"), str(tmp_path / "a.nii")]) is None
    assert get_reader(str(tmp_path / "nowhere")) is None


def test_a_foreign_layer_is_refused(tmp_path):
    with pytest.raises(InputError, match="has no grid of an image"):
        save(Labels(np.zeros((3, 4, 5), np.uint8)), tmp_path / "a.nii.gz")
    assert list(tmp_path.iterdir()) == []


def test_other_data_in_our_layer_are_refused(tmp_path, make_volume):
    volume = make_volume()
    write_labels(
        tmp_path / "mask.nrrd", np.zeros(volume.geometry.shape, np.uint8), volume.geometry, table_from_names({})
    )
    (layer,) = opened(tmp_path / "mask.nrrd")
    layer.data = np.zeros((3, 4, 5), np.uint8)
    with pytest.raises(InputError, match=r"is \(3, 4, 5\)"):
        save(layer, tmp_path / "out.nrrd")
    layer.data = np.full(volume.geometry.shape, 70000)
    with pytest.raises(InputError, match="holds 70000"):
        save(layer, tmp_path / "out.nrrd")
    assert not (tmp_path / "out.nrrd").exists()


def test_real_files(data):
    (image,) = opened(data / "abdomen_ct" / "ct_small.nii.gz")
    assert isinstance(image, Image)
    assert image.contrast_limits == [-160, 240]
    (labels,) = opened(data / "abdomen_ct" / "ai_mask.nii.gz")
    assert isinstance(labels, Labels)
    (spleen,) = opened(data / "spleen_ct" / "manual_label.nii.gz")
    assert isinstance(spleen, Labels)


def test_a_folder_of_dicom_without_suffixes(data):
    (head,) = opened(data / "ct_head_dicom")
    assert head.data.shape == (28, 512, 512)
    assert head.name == "ct_head_dicom"
    volume = read_volume(data / "ct_head_dicom")
    np.testing.assert_array_equal(info_of(head).frame.file_order(head.data), volume.array)
