"""Keys of the reading room. napari's own win on the layer they belong to; only undo and redo are shared with it."""

from __future__ import annotations

from enum import Enum
from typing import TYPE_CHECKING, Any, NamedTuple

from napari.layers import Labels
from qtpy.QtWidgets import QApplication

from napari_deferredseg.widgets.qt.fields import is_field
from napari_deferredseg.widgets.seat.navigation import missing_reader
from napari_deferredseg.widgets.viewer.orientation import Plane, plane_shown, show_plane

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from napari.viewer import Viewer

    from napari_deferredseg.widgets.seat.seat import Seat


class Needs(Enum):
    """What must be there for a key to do its work."""

    PICTURE = 1
    CASE = 2
    READER = 3
    REGION = 4


class Shortcut(NamedTuple):
    """A key, what it does in a few words, and what it needs."""

    key: str
    does: str
    needs: Needs


SHORTCUTS: dict[str, Shortcut] = {
    "next": Shortcut("N", "next region", Needs.READER),
    "previous": Shortcut("Shift+N", "previous region", Needs.READER),
    "accept": Shortcut("K", "accept: the AI is right", Needs.REGION),
    "submit": Shortcut("Ctrl+Enter", "submit what you painted", Needs.REGION),
    "skip": Shortcut("J", "skip: the region goes to the end of your worklist", Needs.REGION),
    "amend": Shortcut("U", "open your last submission again", Needs.READER),
    "hide": Shortcut("H", "hold: hide all overlays", Needs.CASE),
    "undo": Shortcut("Ctrl+Z", "undo in this region", Needs.REGION),
    "redo": Shortcut("Ctrl+Shift+Z", "redo in this region", Needs.REGION),
    "plane": Shortcut("Q", "next plane: axial, coronal, sagittal", Needs.PICTURE),
}
ON_LABELS = ("undo", "redo")
"""napari binds these on labels layers, whose keys come before the viewer's."""


class Keys:
    """Binds the shortcuts on one viewer."""

    def __init__(self, viewer: Viewer, seat: Seat) -> None:
        self._viewer = viewer
        self._seat = seat
        self._labels: Labels | None = None
        self._actions: dict[str, Callable[[], Any]] = {
            "next": lambda: seat.navigation.step(1),
            "previous": lambda: seat.navigation.step(-1),
            "accept": seat.answers.accept,
            "submit": seat.answers.submit,
            "skip": seat.answers.skip,
            "amend": seat.answers.amend,
            "undo": seat.tools.undo,
            "redo": seat.tools.redo,
            "plane": self._next_plane,
        }
        pressed: dict[str, Any] = {name: self._pressed(name) for name in self._actions}
        pressed["hide"] = self._hold_to_hide
        self._before = {
            name: viewer.bind_key(SHORTCUTS[name].key, action, overwrite=True) for name, action in pressed.items()
        }
        viewer.layers.selection.events.active.connect(self._follow_active)
        self._follow_active()

    def uninstall(self) -> None:
        """Give the keys back as they were."""
        self._viewer.layers.selection.events.active.disconnect(self._follow_active)
        self._leave_labels()
        for name, before in self._before.items():
            self._viewer.bind_key(SHORTCUTS[name].key, before, overwrite=True)

    def _able(self, name: str) -> bool:
        """Whether a key can do its work; a line says why not."""
        seat, shortcut = self._seat, SHORTCUTS[name]
        session, need = seat.session, shortcut.needs
        missing = missing_reader(session) if need in (Needs.READER, Needs.REGION) else ""
        if not missing and need is Needs.REGION and session.reading is None:
            missing = "open a region of your worklist first (N)"
        elif (need is Needs.CASE and session.case is None) or (need is Needs.PICTURE and self._viewer.dims.ndim < 3):
            missing = "there is no picture yet; open a region of your worklist first"
        if missing:
            seat.events.problem.emit(f"{shortcut.key}: {missing}.")
        return not missing

    def _is_typed(self, name: str) -> bool:
        """Whether a key was meant for a field, which had no use for it: napari's numbers pass letters on."""
        shortcut = SHORTCUTS[name]
        if shortcut.key.startswith("Ctrl") or not is_field(QApplication.focusWidget()):
            return False
        self._seat.events.message.emit(f"{shortcut.key}: click into the picture first, a field has the keys now.")
        return True

    def _pressed(self, name: str) -> Callable[[Any], None]:
        def pressed(_: Any) -> None:
            if not self._is_typed(name) and self._able(name):
                self._actions[name]()

        return pressed

    def _hold_to_hide(self, viewer: Any) -> Iterator[None]:
        if not self._is_typed("hide") and self._able("hide"):
            self._seat.picture.hide_overlays()
        yield
        self._seat.picture.show_overlays()

    def _next_plane(self) -> None:
        planes = list(Plane)
        shown = plane_shown(self._viewer)
        show_plane(self._viewer, planes[0 if shown is None else (planes.index(shown) + 1) % len(planes)])

    def _follow_active(self, event: Any = None) -> None:
        """Stand before napari's own undo on the labels layer in use."""
        self._leave_labels()
        active = self._viewer.layers.selection.active
        if isinstance(active, Labels):
            self._labels = active
            for name in ON_LABELS:
                active.bind_key(SHORTCUTS[name].key, self._pressed_on_labels(name), overwrite=True)

    def _leave_labels(self) -> None:
        layer, self._labels = self._labels, None
        if layer is not None:
            for name in ON_LABELS:
                layer.bind_key(SHORTCUTS[name].key, None)

    def _pressed_on_labels(self, name: str) -> Callable[[Labels], None]:
        ours = self._pressed(name)

        def pressed(layer: Labels) -> None:
            if not layer.editable or self._seat.picture.shows(layer):
                ours(layer)
                return
            getattr(layer, name)()
            self._seat.events.message.emit(
                f"{SHORTCUTS[name].key}: {name} on the layer {layer.name!r}, which is the active one."
            )

        return pressed
