"""What a submission would change is told as it will be kept."""

from __future__ import annotations

import numpy as np
import pytest

from napari_deferredseg.core.boxes import slices
from napari_deferredseg.usecases.reading.open_case import load_case
from napari_deferredseg.usecases.reading.painted import Painted, painted
from napari_deferredseg.usecases.reading.session import Session


@pytest.fixture
def session(scene):
    made = Session()
    made.set_project(scene.open())
    store = made.project.store
    for item in store.items():
        store.assign(item.region.id, reader="ada" if item.region.number < 3 else "ben", group=None, by="test")
    made.set_case(load_case(made.project, store.cases()[0].key))
    made.choose_reader("ada")
    made.begin(made.worklist()[0])
    yield made
    made.close()


def paint(session, item, value) -> int:
    """Paint a whole region; how many of its voxels are changed."""
    here = session.work[slices(item.region.box)]
    changed = item.region.mask & (here != value)
    here[item.region.mask] = value
    session.note_change(item.region.box)
    return int(changed.sum())


def test_voxels_are_counted_in_every_region_they_lie_in(session):
    reading, items = session.reading, session.project.store.items()
    assert painted(reading, items) == Painted()
    own = paint(session, reading.item, 0)
    found = painted(reading, items)
    assert (found.voxels, found.elsewhere, found.unnamed) == (own, (), ())
    others = [item for item in items if item.region.id != reading.item.region.id][:2]
    counts = {item.region.number: paint(session, item, 9) for item in others}
    found = painted(reading, items)
    assert found.voxels == own + sum(counts.values()) == np.count_nonzero(reading.before != reading.after)
    assert {item.region.number: count for item, count in found.elsewhere} == counts
    assert [item.region.number for item, _ in found.elsewhere] == sorted(counts)
    assert found.unnamed == (9,)
