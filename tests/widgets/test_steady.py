"""Texts that change without moving what stands below them."""

from __future__ import annotations

import pytest
from qtpy.QtWidgets import QLabel, QVBoxLayout, QWidget

from napari_deferredseg.widgets.qt.steady import Steady

LONG = "a reader needs every word of this " * 6


@pytest.fixture
def column(qtbot):
    panel, text, below = QWidget(), QLabel("one line"), QLabel("below")
    text.setWordWrap(True)
    layout = QVBoxLayout(panel)
    layout.addWidget(Steady(text))
    layout.addWidget(below)
    layout.addStretch(1)
    qtbot.addWidget(panel)
    panel.resize(220, 400)
    panel.show()
    qtbot.waitExposed(panel)
    return panel, text, below


def shown_whole(text: QLabel) -> bool:
    return text.height() >= text.heightForWidth(text.width()) and text.parent().height() >= text.height()


def test_a_longer_text_gets_its_room_and_a_shorter_one_moves_nothing(qtbot, column):
    _, text, below = column
    first = below.y()
    text.setText(LONG)
    qtbot.waitUntil(lambda: shown_whole(text) and below.y() > first)
    grown = below.y()
    text.setText("short")
    qtbot.wait(30)
    assert below.y() == grown
    text.setText(LONG)
    qtbot.wait(30)
    assert below.y() == grown
    assert shown_whole(text)


def test_a_narrower_panel_still_shows_the_whole_text_and_a_wider_one_gives_room_back(qtbot, column):
    panel, text, below = column
    text.setText(LONG)
    qtbot.waitUntil(lambda: shown_whole(text))
    panel.resize(140, 700)
    qtbot.waitUntil(lambda: shown_whole(text))
    narrow = below.y()
    panel.resize(600, 700)
    qtbot.waitUntil(lambda: below.y() < narrow and shown_whole(text))


def test_a_window_does_not_grow_for_a_text(qtbot, column):
    panel, text, _ = column
    panel.resize(220, 100)
    qtbot.wait(30)
    least = panel.minimumSizeHint().height()
    text.setText(LONG * 4)
    qtbot.wait(30)
    assert panel.size().toTuple() == (220, 100)
    assert panel.minimumSizeHint().height() == least
