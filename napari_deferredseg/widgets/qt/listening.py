"""Connections that end with the widget that made them."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from collections.abc import Callable

    from qtpy.QtWidgets import QWidget


def listen(widget: QWidget, emitter: Any, slot: Callable[..., Any]) -> None:
    """Connect a slot to a signal that outlives the widget; the connection ends with the widget."""
    emitter.connect(slot)
    widget.destroyed.connect(lambda: emitter.disconnect(slot))
