# %% [markdown]
"""From a notebook: a model on a scan, masks of an AI that ran elsewhere, an evaluation as a table, an export.

Needs no files, it makes its own. Its cells open in Jupyter (jupytext), VS Code and Spyder; or:

python examples/notebook.py FOLDER
"""

from __future__ import annotations

import sys
from pathlib import Path

import napari_deferredseg as ds
from napari_deferredseg.usecases.simulate import make_phantoms

if len(sys.argv) != 2:
    sys.exit(f"usage: python {sys.argv[0]} FOLDER, a new one to work in")
folder = Path(sys.argv[1])

# %% Volume -> model -> prediction -> regions: no project is needed
report = ds.make_demo(folder / "demo")
volume = ds.read_volume(folder / "demo" / "phantom.mha")
model = ds.load_model("abdomen-phantom", device="cpu")
prediction = model.predict(volume, progress=lambda share, doing: print(f"{share:4.0%} {doing}"))
proposal = ds.propose_regions(prediction, "15 minutes")
print(proposal.account)
for region in proposal.regions:
    names = ", ".join(prediction.table.name(value) for value in region.labels)
    print(f"region {region.number}: {names}, {region.volume / 1000:.1f} ml, {region.minutes:.1f} min")

# %% Masks of an AI that ran elsewhere -> regions; the same in a project, whose readers get them
masks = [folder / "demo" / name for name in ("ai_first.mha", "ai_second.mha")]
doubt = ds.compare_masks(volume, *masks)
print(ds.propose_regions(doubt, "5% of voxels").account)
again = ds.run_external(folder / "demo", folder / "demo" / "phantom.mha", *masks, budget="20 minutes")
print(again, *again.cautions, sep="\n")

# %% What the readers corrected -> masks, on the grid of the scan
for exported in ds.export_labels(folder / "demo", folder / "corrected"):
    print(f"{exported.files[0].name}: {exported.corrections} corrections, {exported.waiting} regions wait")

# %% A cases file -> evaluation table, a DataFrame of pandas
cases = make_phantoms(folder / "cases", cases=5, size="small").file
table = ds.evaluate_model("abdomen-phantom", cases, folder / "report", budgets=["10%"], device="cpu")
print(table.set_index("method")[["realised", "dice", "nsd", "hd95", "headroom"]].round(3))
