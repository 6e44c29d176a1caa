"""The first loop from Python: project, readers, run, one correction, export. Needs no files: it makes its own.

python examples/headless_loop.py FOLDER
"""

from __future__ import annotations

import sys
from pathlib import Path

from napari_deferredseg.core.boxes import slices
from napari_deferredseg.core.records import Verdict
from napari_deferredseg.usecases.demo import make_demo
from napari_deferredseg.usecases.export import export_cases
from napari_deferredseg.usecases.project import open_project
from napari_deferredseg.usecases.reading.open_case import load_case
from napari_deferredseg.usecases.reading.session import Session


def main(folder: Path) -> None:
    """Make a demo project, correct one region as Ada, export."""
    report = make_demo(folder / "project")
    print(report)
    print(report.account)

    session = Session()
    session.set_project(open_project(folder / "project"))
    session.choose_reader("ada")
    session.set_case(load_case(session.need_project(), report.case.key))
    item = session.worklist()[0]
    session.begin(item)
    # Paint: here, give the whole region to what the second mask said.
    box = slices(item.region.box)
    session.work[box][item.region.mask] = session.case.alternative[box][item.region.mask]
    session.note_change(item.region.box)
    correction = session.submit(Verdict.EDITED)
    changed = int((correction.before != correction.after).sum())
    print(f"{correction.reader} changed {changed} voxels of region {item.region.number}")

    (exported,) = export_cases(session.need_project(), folder / "corrected")
    print(f"wrote {exported.files[0]}")
    session.close()


if __name__ == "__main__":
    if len(sys.argv) != 2:
        sys.exit(f"usage: python {sys.argv[0]} FOLDER, a new one to work in")
    main(Path(sys.argv[1]))
