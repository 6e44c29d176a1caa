"""Submit what lies in a folder of drafts, in a random order. Arguments: database, drafts, seed, barrier file."""

import random
import sys
import time
from pathlib import Path

from napari_deferredseg.core.records import Correction, Verdict
from napari_deferredseg.store.drafts.journal import Journal
from napari_deferredseg.store.sql import open_sqlite

database, drafts, seed, barrier = sys.argv[1:]
store = open_sqlite(Path(database))
corrections = [
    Correction(
        id=f"c{draft.region_id}",
        region_id=draft.region_id,
        case_key=draft.case_key,
        reader=draft.reader,
        model_id=draft.model_id,
        voxel_hash=draft.voxel_hash,
        started=draft.started,
        submitted=draft.saved,
        active_seconds=draft.active_seconds,
        verdict=Verdict.EDITED,
        box=draft.box,
        before=draft.before,
        after=draft.after,
        support=draft.before != draft.after,
    )
    for draft in Journal(Path(drafts)).drafts("anna")
]
random.Random(seed).shuffle(corrections)
print("ready", flush=True)
while not Path(barrier).exists():
    time.sleep(0.001)
for correction in corrections:
    store.submit(correction)
store.close()
