"""Claim every region that can be had, and print its id. Arguments: database, login, barrier file."""

import sys
import time
from pathlib import Path

from napari_deferredseg.store.sql import open_sqlite

database, login, barrier = sys.argv[1:]
store = open_sqlite(Path(database))
regions = [item.region.id for item in store.items()]
print("ready", flush=True)
while not Path(barrier).exists():
    time.sleep(0.001)
for region_id in regions:
    if store.claim(region_id, login) is not None:
        print(region_id)
store.close()
