"""Keys of the reading room. None of them belongs to napari, whichever kind of layer is active."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, NamedTuple

from napari_deferredseg.widgets.orientation import Plane, plane_shown, show_plane

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from napari.viewer import Viewer

    from napari_deferredseg.widgets.stage import Stage


class Shortcut(NamedTuple):
    """A key, what it does in a few words, and whether it needs an open region."""

    key: str
    does: str
    needs_region: bool = True


SHORTCUTS: dict[str, Shortcut] = {
    "next": Shortcut("N", "next region", needs_region=False),
    "previous": Shortcut("Shift+N", "previous region", needs_region=False),
    "accept": Shortcut("K", "accept: the AI is right"),
    "submit": Shortcut("Ctrl+Enter", "submit what you painted"),
    "skip": Shortcut("J", "skip, to the end of the worklist"),
    "amend": Shortcut("U", "take back your last submission", needs_region=False),
    "hide": Shortcut("H", "hold: hide all overlays", needs_region=False),
    "undo": Shortcut("Ctrl+Z", "undo in this region"),
    "redo": Shortcut("Ctrl+Shift+Z", "redo in this region"),
    "plane": Shortcut("Q", "next plane: axial, coronal, sagittal", needs_region=False),
}


class Keys:
    """Binds the shortcuts on one viewer."""

    def __init__(self, viewer: Viewer, stage: Stage) -> None:
        self._viewer = viewer
        self._stage = stage
        simple: dict[str, Callable[[], Any]] = {
            "next": lambda: stage.step(1),
            "previous": lambda: stage.step(-1),
            "accept": stage.accept,
            "submit": stage.submit,
            "skip": stage.skip,
            "amend": stage.amend,
            "undo": stage.undo,
            "redo": stage.redo,
            "plane": self._next_plane,
        }
        for name, action in simple.items():
            viewer.bind_key(SHORTCUTS[name].key, self._guarded(SHORTCUTS[name], action), overwrite=True)
        viewer.bind_key(SHORTCUTS["hide"].key, self._hold_to_hide, overwrite=True)

    def uninstall(self) -> None:
        """Take the keys back."""
        for shortcut in SHORTCUTS.values():
            self._viewer.bind_key(shortcut.key, None, overwrite=True)

    def _guarded(self, shortcut: Shortcut, action: Callable[[], Any]) -> Callable[[Any], None]:
        """A key that cannot do its work says why not."""

        def pressed(viewer: Any) -> None:
            session = self._stage.session
            if session.reader is None and shortcut.key != SHORTCUTS["plane"].key:
                self._stage.events.problem.emit(f"{shortcut.key}: say who you are first, in My worklist.")
            elif shortcut.needs_region and session.reading is None:
                self._stage.events.problem.emit(f"{shortcut.key}: open a region of your worklist first.")
            else:
                action()

        return pressed

    def _hold_to_hide(self, viewer: Any) -> Iterator[None]:
        self._stage.hide_overlays()
        yield
        self._stage.show_overlays()

    def _next_plane(self) -> None:
        planes = list(Plane)
        shown = plane_shown(self._viewer)
        show_plane(self._viewer, planes[0 if shown is None else (planes.index(shown) + 1) % len(planes)])
