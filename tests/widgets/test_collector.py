"""The garbage collector is the process's: what rests for a moment is given back."""

from __future__ import annotations

import gc

import numpy as np
import pytest
from napari.layers import Image

from napari_deferredseg.widgets.qt.collector import old_objects_at_rest


@pytest.fixture
def awake():
    """Nothing is at rest, as in a process that nobody has tuned; afterwards it is as before."""
    was_frozen = gc.get_freeze_count() > 0
    gc.unfreeze()
    yield
    gc.unfreeze()
    if was_frozen:
        gc.freeze()


class Ring:
    """Garbage that only a collection finds."""

    gone = 0

    def __init__(self) -> None:
        self.itself = self

    def __del__(self) -> None:
        type(self).gone += 1


def test_what_rested_is_given_back(awake):
    with old_objects_at_rest():
        assert gc.get_freeze_count() > 0
    assert gc.get_freeze_count() == 0
    assert gc.isenabled()


def test_it_is_given_back_after_a_failure(awake):
    with pytest.raises(ZeroDivisionError), old_objects_at_rest():
        _ = 1 / 0
    assert gc.get_freeze_count() == 0


def test_garbage_of_the_moment_is_found_and_older_garbage_afterwards(awake):
    gone = Ring.gone
    Ring()
    with old_objects_at_rest():
        Ring()
        gc.collect()
        assert Ring.gone == gone + 1
    gc.collect()
    assert Ring.gone == gone + 2


def test_what_others_put_to_rest_stays_so(awake):
    gc.freeze()
    with old_objects_at_rest():
        kept = Image(np.zeros((2, 2)))
    assert gc.get_freeze_count() > 0
    assert kept is not None


def test_a_case_that_is_closed_leaves_the_collector_as_it_was(awake, desk):
    desk.sit_down()
    desk.session.set_case(None)
    assert gc.get_freeze_count() == 0
    assert gc.isenabled()
