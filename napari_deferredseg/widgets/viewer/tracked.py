"""Labels that know where they were changed since somebody last asked."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Self

import numpy as np

from napari_deferredseg.core.boxes import Box, union

if TYPE_CHECKING:
    from napari.layers import Labels
    from numpy.typing import NDArray

Span = tuple[int, int]


class TrackedArray(np.ndarray):
    """Labels (z, y, x) that keep the bounding box of what was written to them with ``array[...] = value``.

    napari paints, fills, erases, undoes and redoes that way. It costs nothing per voxel. Slices, views and copies are
    plain arrays; what is written through them, or in place (``array += 1``), is not seen.

    Parameters
    ----------
    array : (z, y, x), any integer dtype
        Shared, not copied.
    """

    _changed: Box | None
    _tracks: bool

    def __new__(cls, array: NDArray[Any]) -> Self:
        """Look at an array's memory, and track what is written to it from now on."""
        if array.ndim != 3:
            raise ValueError(f"labels have three axes, not {array.ndim}")
        tracked = array.view(cls)
        tracked._tracks = True
        return tracked

    def __array_finalize__(self, source: NDArray[Any] | None) -> None:
        self._changed = None
        self._tracks = False

    def __getitem__(self, key: Any) -> Any:
        found = super().__getitem__(key)
        return found.view(np.ndarray) if isinstance(found, TrackedArray) else found

    def __setitem__(self, key: Any, value: Any) -> None:
        super().__setitem__(key, value)
        if self._tracks:
            box = _touched(key, self.shape)
            if box is not None:
                self._changed = box if self._changed is None else union(self._changed, box)

    def take_changed(self) -> Box | None:
        """Box that holds everything written since the last call, in this array's order; None when nothing was."""
        changed, self._changed = self._changed, None
        return changed


def reset_undo(layer: Labels) -> None:
    """Forget what could be undone or redone on a layer, so that undo never reaches back into an earlier region.

    Mode and selected label stay as they are. napari drops the history of a layer that stops being editable.
    """
    mode, editable = layer.mode, layer.editable
    # in the end nothing else is changed, so nobody needs to hear of it
    with layer.events.blocker_all():
        layer.editable = True
        layer.editable = False
        layer.editable = editable
        layer.mode = mode


def _touched(key: Any, shape: tuple[int, ...]) -> Box | None:
    parts = _expanded(key if isinstance(key, tuple) else (key,), len(shape))
    if parts is None:
        return _whole(shape)
    spans: list[Span | None] = []
    for part in parts:
        spans += _spans(part, shape[len(spans) :])
    spans += [(0, n) for n in shape[len(spans) :]]
    if any(span is None for span in spans):
        return None
    z, y, x = (span for span in spans if span is not None)
    return z, y, x


def _whole(shape: tuple[int, ...]) -> Box:
    z, y, x = ((0, n) for n in shape)
    return z, y, x


def _expanded(parts: tuple[Any, ...], ndim: int) -> list[Any] | None:
    """Parts with the ellipsis written out; None for keys with new axes or bare truth values, which nobody paints by."""
    if any(part is None or isinstance(part, (bool, np.bool_)) for part in parts):
        return None
    where = next((i for i, part in enumerate(parts) if part is Ellipsis), None)
    if where is None:
        return list(parts)
    used = sum(_axes_used(part) for part in parts) - 1
    return [*parts[:where], *[slice(None)] * (ndim - used), *parts[where + 1 :]]


def _axes_used(part: Any) -> int:
    array = None if isinstance(part, slice) or part is Ellipsis else np.asarray(part)
    return array.ndim if array is not None and array.dtype == np.bool_ else 1


def _spans(part: Any, shape: tuple[int, ...]) -> list[Span | None]:
    if isinstance(part, slice):
        steps = range(shape[0])[part]
        return [(min(steps[0], steps[-1]), max(steps[0], steps[-1]) + 1) if steps else None]
    array = np.asarray(part)
    if array.dtype == np.bool_:
        return [_span(np.asarray(hit), n) for hit, n in zip(array.nonzero(), shape, strict=False)]
    return [_span(array, shape[0])]


def _span(index: NDArray[Any], length: int) -> Span | None:
    if index.size == 0:
        return None
    index = np.where(index < 0, index + length, index)
    return int(index.min()), int(index.max()) + 1
