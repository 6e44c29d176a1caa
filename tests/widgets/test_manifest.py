"""What napari finds of us: manifest, menus, sample data, reader and writer, preferences."""

from __future__ import annotations

from importlib import import_module
from importlib.resources import files
from pathlib import Path

import numpy as np
import pytest
from napari._app_model import get_app_model
from napari.settings import get_plugin_settings
from npe2 import PluginManager, PluginManifest

from napari_deferredseg.io.images import read_labels
from napari_deferredseg.widgets.panels.panel import Panel
from napari_deferredseg.widgets.plugin.files import get_reader, write_labels_layer
from napari_deferredseg.widgets.viewer.volume_layers import in_place

NAME = "napari-deferredseg"
ROOT = Path(__file__).parents[2] / "napari.yaml"
WIDGETS = {"Run deferral model", "Defer to expert", "My worklist", "Export labels"}
MENUS = {
    "napari/layers/segment": {"Run deferral model"},
    "napari/layers/annotate": {"My worklist", "Defer to expert"},
    "napari/file/io_utilities": {"Export labels"},
}


@pytest.fixture
def manager() -> PluginManager:
    """The one that napari asks, after it has looked for plugins."""
    manager = PluginManager.instance()
    manager.discover()
    return manager


@pytest.fixture
def manifest(manager) -> PluginManifest:
    return manager.get_manifest(NAME)


def test_the_installed_manifest_is_the_one_at_the_top(manifest):
    installed = files("napari_deferredseg_manifest")
    assert (installed / "napari.yaml").read_text(encoding="utf-8") == ROOT.read_text(encoding="utf-8")
    resources = ROOT.parent / "resources"
    for file in (p for p in resources.rglob("*") if p.is_file()):
        assert (installed / file.relative_to(ROOT.parent)).read_bytes() == file.read_bytes()
    assert manifest.contributions == PluginManifest.from_file(ROOT).contributions


def test_every_command_is_there_and_can_be_called(manifest):
    for command in manifest.contributions.commands:
        module, name = command.python_name.split(":")
        assert callable(getattr(import_module(module), name)), command.id
    assert {widget.display_name for widget in manifest.contributions.widgets} == WIDGETS


def test_napari_knows_reader_and_writer(manager, manifest, tmp_path):
    for name in ("a.nii.gz", "a.nii", "a.nrrd", "a.mha", "a.dcm"):
        assert NAME in {reader.plugin_name for reader in manager.iter_compatible_readers([str(tmp_path / name)])}, name
    assert NAME in {reader.plugin_name for reader in manager.iter_compatible_readers([str(tmp_path)])}
    named = {command.id: command.python_name for command in manifest.contributions.commands}
    for name, function in (("read", get_reader), ("write", write_labels_layer)):
        assert named[f"{NAME}.{name}"] == f"{function.__module__}:{function.__name__}"


def test_menus_hold_our_widgets_and_open_them(make_napari_viewer):
    viewer = make_napari_viewer()
    menus = get_app_model().menus
    for menu, expected in MENUS.items():
        titles = {item.command.title for item in menus.get_menu(menu) if hasattr(item, "command")}
        assert {f"{title} (DeferredSeg)" for title in expected} <= titles, menu
    ours = {item.command.title for item in menus.get_menu(f"napari/plugins/{NAME}")}
    assert {title.removesuffix(" (DeferredSeg)") for title in ours} == WIDGETS
    seats = set()
    for title in sorted(WIDGETS):
        dock, widget = viewer.window.add_plugin_dock_widget(NAME, title)
        assert isinstance(widget, Panel)
        assert title in dock.name
        seats.add(widget.seat)
    assert len(seats) == 1


def test_sample_labels_go_through_napari_to_a_file_and_back(make_napari_viewer, tmp_path):
    viewer = make_napari_viewer()
    image, first, second = viewer.open_sample(NAME, "abdomen")
    assert all(in_place(layer) for layer in (image, first, second))
    assert image.data.shape == first.data.shape == second.data.shape
    assert (first.data != second.data).any()
    target = tmp_path / "first.nii.gz"
    assert first.save(str(target), plugin=NAME) == [str(target)]
    (back,) = viewer.open(target, plugin=NAME)
    np.testing.assert_array_equal(back.data, first.data)
    for place in ((0, 0, 0), (7, 5, 3)):
        np.testing.assert_allclose(back.data_to_world(place), first.data_to_world(place), atol=1e-3)
    assert read_labels(target).array.any()


def test_preferences_have_a_page_that_is_kept(make_napari_viewer, tmp_path):
    page = get_plugin_settings(NAME).reading
    assert (page.last_project, page.last_reader, page.brush_size) == ("", "", 5)
    with pytest.raises(ValueError, match="less than or equal"):
        page.brush_size = 1000
    page.brush_size = 9
    assert "brush_size: 9" in Path(get_plugin_settings(NAME).config_path).read_text(encoding="utf-8")


def test_a_region_starts_with_the_brush_of_the_preferences(desk):
    get_plugin_settings(NAME).reading.brush_size = 9
    desk.sit_down()
    assert desk.correction.brush_size == 9
