from __future__ import annotations

import os
from pathlib import Path

import pytest

DATA = Path(os.environ.get("DEFERREDSEG_TEST_DATA", Path(__file__).parents[2] / "shared" / "data"))


@pytest.fixture(scope="session")
def data() -> Path:
    """Folder of real images; tests that need it skip where it is absent."""
    if not DATA.is_dir():
        pytest.skip(f"no test images at {DATA}; set DEFERREDSEG_TEST_DATA")
    return DATA
