"""Save drafts without end; print the number of each one after it was saved. Arguments: folder."""

import sys
from datetime import UTC, datetime
from pathlib import Path

import numpy as np

from napari_deferredseg.store.drafts.journal import Draft, Journal

journal = Journal(Path(sys.argv[1]))
start = datetime(2024, 1, 1, tzinfo=UTC)
before = np.zeros((8, 64, 64), np.uint16)
number = 0
while True:
    number += 1
    after = np.random.default_rng(number).integers(0, 9, before.shape).astype(np.uint16)
    journal.save(
        Draft("ab", "case-1", "anna", "h", "m", start, float(number), start, ((0, 8), (0, 64), (0, 64)), before, after)
    )
    print(number, flush=True)
