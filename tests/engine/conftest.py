from __future__ import annotations

import sys
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from napari_deferredseg.engine import Engine

if TYPE_CHECKING:
    from collections.abc import Iterator

# The worker gets our sys.path: so both sides find the jobs of these tests.
sys.path.append(str(Path(__file__).parent))


@pytest.fixture
def engine() -> Iterator[Engine]:
    with Engine(packages=("engine_jobs",), grace=1.0) as engine:
        yield engine


@pytest.fixture(scope="module")
def kept() -> Iterator[Engine]:
    """An engine that stays for all tests of a file that do not harm it."""
    with Engine(packages=("engine_jobs",)) as engine:
        yield engine
