"""Why a reader declines a region: a dialog that does not take nothing for an answer."""

from __future__ import annotations

from qtpy.QtWidgets import QInputDialog, QLineEdit, QWidget

MOST_LETTERS = 500
ASK = "Why do you decline region {number}?"
HINT = "The lead reads it, and finds somebody else. No patient names."
NEEDED = '<span style="color: #ffb454">Say in a few words why, or press Cancel to go on reading.</span>'


class DeclineDialog(QInputDialog):
    """Asks for a reason, and stays open until there is one or the reader goes back."""

    def __init__(self, number: int, parent: QWidget | None = None) -> None:
        super().__init__(parent)
        self._ask = ASK.format(number=number)
        self.setInputMode(QInputDialog.InputMode.TextInput)
        self.setWindowTitle("Decline")
        self.setOkButtonText("Decline")
        self._hint(HINT)
        self.resize(420, self.sizeHint().height())
        field = self.findChild(QLineEdit)
        if field is not None:
            field.setMaxLength(MOST_LETTERS)
        self.textValueChanged.connect(lambda text: self._hint(HINT))

    def accept(self) -> None:
        """Close with a reason; without one say that it is needed, and stay."""
        if self.textValue().strip():
            super().accept()
        else:
            self._hint(NEEDED)

    def _hint(self, line: str) -> None:
        self.setLabelText(f"{self._ask}<br>{line}")
