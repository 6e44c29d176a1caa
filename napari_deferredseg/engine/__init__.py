"""Heavy work in one process beside ours: the window stays smooth, and what dies there dies alone."""

from napari_deferredseg.engine.engine import Engine

__all__ = ["Engine"]
