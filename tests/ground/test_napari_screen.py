"""Which way napari draws the axes on the canvas."""

from __future__ import annotations

from itertools import permutations, product

import numpy as np
import pytest
from qtpy.QtWidgets import QApplication

from napari_deferredseg.widgets.viewer.orientation import screen_directions
from napari_deferredseg.widgets.viewer.volume_layers import add_volume

ORIENTATIONS = list(product(("away", "towards"), ("up", "down"), ("left", "right")))


def drawn(viewer):
    """Screen vector (right, up) of each displayed axis, from the canvas's own transform."""
    canvas = viewer.window._qt_viewer.canvas
    canvas.on_draw(None)
    transform = canvas.view.transform * canvas.view.scene.transform
    number = viewer.dims.ndisplay
    center = np.array(viewer.scene.camera.center[-number:])
    steps = np.stack([center, *(center + np.eye(number))])
    places = np.array([transform.map(list(s[::-1]))[:4] for s in steps])
    places = places[:, :2] / places[:, 3:]
    return (places[1:] - places[0]) * (1, -1)


@pytest.mark.parametrize("ndisplay", [2, 3])
def test_directions_are_those_of_the_canvas(open_viewer, make_volume, ndisplay):
    viewer = open_viewer()
    add_volume(viewer, make_volume())
    viewer.dims.ndisplay = ndisplay
    camera, random = viewer.scene.camera, np.random.default_rng(0)
    for order, orientation in product(permutations(range(3)), ORIENTATIONS):
        viewer.dims.order = order
        camera.orientation = orientation
        if ndisplay == 3:
            camera.angles = tuple(float(a) for a in random.uniform(-80, 80, 3))
        QApplication.processEvents()
        on_screen = drawn(viewer).T
        on_screen /= np.linalg.norm(on_screen, axis=1, keepdims=True)
        named = screen_directions(viewer)[:, list(viewer.dims.displayed)]
        np.testing.assert_allclose(named, on_screen, atol=1e-4)
