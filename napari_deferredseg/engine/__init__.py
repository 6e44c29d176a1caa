"""Heavy work in one process beside ours: the window stays smooth, and what dies there dies alone."""

from napari_deferredseg.engine.engine import Engine
from napari_deferredseg.engine.runner import InProcess, Runner

__all__ = ["Engine", "InProcess", "Runner"]
