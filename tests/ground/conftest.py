"""The viewer and the mouse of tests/widgets."""

from __future__ import annotations

from importlib.util import module_from_spec, spec_from_file_location
from pathlib import Path

_SPEC = spec_from_file_location("viewer_and_mouse", Path(__file__).parents[1] / "widgets" / "conftest.py")
_SHARED = module_from_spec(_SPEC)
_SPEC.loader.exec_module(_SHARED)

mouse = _SHARED.mouse
make_volume = _SHARED.make_volume
open_viewer = _SHARED.open_viewer
