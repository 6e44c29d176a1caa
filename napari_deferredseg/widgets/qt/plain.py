"""Text from data in widgets: letter by letter, never as HTML, which Qt guesses, and nothing in it unseen.

A `PlainLabel` shows text as it is. Where a label has bold words of ours it is a `RichLabel`, and what comes from data
is `escaped`. Tooltips, questions and napari's notifications are HTML when they look like it: `as_tip`. On buttons and
in menus an ampersand would underline the next letter: `on_button`. What napari shows by itself, such as the names of
layers, is `unmarked`.
"""

from __future__ import annotations

import html

from qtpy.QtCore import Qt
from qtpy.QtWidgets import QLabel

from napari_deferredseg.core.names import visible


class PlainLabel(QLabel):
    """Label that shows its text letter by letter, wrapped where it is long."""

    def __init__(self, text: str = "") -> None:
        super().__init__()
        self.setTextFormat(Qt.TextFormat.PlainText)
        self.setText(text)

    def setText(self, text: str) -> None:
        """Show a text."""
        super().setText(visible(text))


class RichLabel(QLabel):
    """Label with HTML of ours; whatever comes from data in it is `escaped`."""

    def __init__(self, text: str = "") -> None:
        super().__init__(text)
        self.setTextFormat(Qt.TextFormat.RichText)
        self.setWordWrap(True)


def escaped(text: str) -> str:
    """Text as HTML shows it letter by letter; not for an attribute."""
    return html.escape(visible(text), quote=False)


def as_tip(text: str) -> str:
    """Text for a place that shows HTML when a text looks like it, such as a tooltip."""
    shown = visible(text)
    # Qt looks for a tag on the first line; an entity alone is enough for it, too.
    if "<" not in shown and "&lt;" not in shown:
        return shown
    return "<span>{}</span>".format(html.escape(shown, quote=False).replace("\n", "<br>"))


def on_button(text: str) -> str:
    """Text for a button or a menu."""
    return visible(text).replace("&", "&&")


def unmarked(text: str) -> str:
    """Text that nothing takes for HTML, for what is shown where we cannot say how: other signs stand for < and >."""
    return visible(text).replace("<", "‹").replace(">", "›").replace("&lt;", "& lt;")
