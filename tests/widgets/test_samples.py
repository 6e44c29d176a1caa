"""The samples and the icon of the manifest."""

from __future__ import annotations

from importlib import import_module
from pathlib import Path

import pytest
from npe2 import PluginManifest

ROOT = Path(__file__).parents[2]
MANIFEST = PluginManifest.from_file(ROOT / "napari.yaml")
COMMANDS = {command.id: command for command in MANIFEST.contributions.commands}


def test_the_icon_is_shipped():
    package, _, name = MANIFEST.icon.partition(":")
    top, folder = package.split(".")
    assert top == "napari_deferredseg_manifest"
    assert (ROOT / folder / name).is_file()


@pytest.mark.parametrize("sample", MANIFEST.contributions.sample_data, ids=lambda sample: sample.key)
def test_every_sample_is_an_image_with_two_masks_that_differ(sample):
    module, _, name = COMMANDS[sample.command].python_name.partition(":")
    layers = getattr(import_module(module), name)()
    (image,), (first, second) = ([x for x in layers if x[2] == kind] for kind in ("image", "labels"))
    assert image[0].shape == first[0].shape == second[0].shape
    assert (first[0] != second[0]).any()
