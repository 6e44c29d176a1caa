"""The bare image, for as long as a key is held."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from qtpy.QtGui import QGuiApplication

if TYPE_CHECKING:
    from collections.abc import Iterable

    from napari.layers import Layer


class Hiding:
    """Hides layers and brings back exactly those that were visible.

    A key that is held while another window comes to the front is never released here, so that brings them back too.
    """

    def __init__(self) -> None:
        self._hidden: list[Layer] = []
        self._application = QGuiApplication.instance()
        if isinstance(self._application, QGuiApplication):
            self._application.focusWindowChanged.connect(self._on_focus)

    def close(self) -> None:
        """Forget the layers and listen no more."""
        self._hidden = []
        if isinstance(self._application, QGuiApplication):
            self._application.focusWindowChanged.disconnect(self._on_focus)

    def hide(self, layers: Iterable[Layer]) -> None:
        """Hide what is visible of these layers, until `show`."""
        if self._hidden:
            return
        self._hidden = [layer for layer in layers if layer.visible]
        for layer in self._hidden:
            layer.visible = False

    def show(self) -> None:
        """Bring back what `hide` hid."""
        hidden, self._hidden = self._hidden, []
        for layer in hidden:
            layer.visible = True

    def _on_focus(self, window: Any = None) -> None:
        self.show()
