"""Run the first loop without a screen on the installed package, and show what was not imported on the way."""

from __future__ import annotations

import json
import sys
from contextlib import redirect_stdout
from io import StringIO
from pathlib import Path

import SimpleITK as sitk

from napari_deferredseg.cli.app import app

FORBIDDEN = {"torch", "torchvision", "monai", "qtpy", "PySide6", "PyQt6", "PyQt5", "PySide2", "vispy"}


def deferredseg(*words: object) -> str:
    """Run one command as a user would type it, return what it prints."""
    print("$ deferredseg", *words, flush=True)
    printed = StringIO()
    with redirect_stdout(printed):
        app([str(word) for word in words], standalone_mode=False)
    return printed.getvalue()


def main(data: Path, work: Path) -> None:
    """Make a project, run, look at a worklist, export, compare with the AI's mask."""
    project, out, ct = work / "project", work / "out", data / "abdomen_ct"
    first, second = ct / "ct_small_ai_mask_a.nii.gz", ct / "ct_small_ai_mask_b.nii.gz"
    deferredseg("project", "init", project)
    for name, capacity in (("Ada Moreau", 20), ("Ben Okafor", 40), ("Chen Li", 60)):
        deferredseg("reader", "add", name, "--project", project, "--capacity", capacity)
    deferredseg("run", ct / "ct_small.nii.gz", "--labels", first, "--labels", second, "--project", project)
    regions = json.loads(deferredseg("worklist", "--reader", "ada.moreau", "--project", project, "--json"))
    assert regions, "no region was routed"
    deferredseg("export", "--project", project, "--format", "nifti", "--out", out)
    (mask,) = out.glob("*.nii.gz")
    same = sitk.GetArrayFromImage(sitk.ReadImage(str(mask))) == sitk.GetArrayFromImage(sitk.ReadImage(str(first)))
    assert same.all(), "without corrections the export is not the AI's mask"
    imported = sorted({name.split(".")[0] for name in sys.modules} & FORBIDDEN)
    print(f"headless loop done: {len(regions)} regions for one reader; torch or Qt imported: {imported or 'none'}")
    if imported:
        sys.exit(1)


if __name__ == "__main__":
    main(Path(sys.argv[1]), Path(sys.argv[2]))
