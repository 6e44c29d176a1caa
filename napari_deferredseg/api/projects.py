"""Projects, and what comes out of them."""

from __future__ import annotations

from typing import TYPE_CHECKING

from napari_deferredseg.api.given import opened, optional_text, path_of, seed_of, text_of, texts_of
from napari_deferredseg.core.progress import Progress, silent
from napari_deferredseg.usecases import demo, export
from napari_deferredseg.usecases import project as projects
from napari_deferredseg.usecases.readers import first_admin, who_acts

if TYPE_CHECKING:
    from collections.abc import Sequence

    from napari_deferredseg.api.given import StrPath
    from napari_deferredseg.usecases.export import Exported
    from napari_deferredseg.usecases.project import Project
    from napari_deferredseg.usecases.running.triage import RunReport


def make_demo(folder: StrPath, seed: int = 0, progress: Progress = silent) -> RunReport:
    """Write a generated abdomen, two masks of it and a project with three readers into a new folder.

    The files are `phantom.mha`, `ai_first.mha` and `ai_second.mha`. InputError when the folder is in use.
    """
    return demo.make_demo(path_of(folder), seed_of(seed), progress)


def init_project(folder: StrPath, name: str | None = None) -> Project:
    """Make a project in a new folder, its admin this computer's user; close it, or use it in a `with` block.

    Raises
    ------
    InputError
        The folder holds something already, lies on a network share, or cannot be written.
    """
    return projects.init_project(path_of(folder), optional_text(name, "name"), first_admin().reader)


def open_project(folder: StrPath) -> Project:
    """Open a project; close it, or use it in a `with` block.

    Raises
    ------
    InputError
        It is none, was made by a newer version, or lies on a network share.
    Damaged
        What it holds is not what was written.
    """
    return projects.open_project(path_of(folder))


def export_labels(
    project: Project | StrPath,
    out: StrPath,
    form: str = "nifti",
    *,
    cases: Sequence[str] | str = (),
    dataset: int | None = None,
    name: str | None = None,
    ignore_unreviewed: bool | None = None,
    channel: Sequence[str] | str | None = None,
    by_name: bool | None = None,
    validation: float | None = None,
    test: float | None = None,
    seed: int | None = None,
    with_sources: bool = False,
    by: str | None = None,
    progress: Progress = silent,
) -> list[Exported]:
    """Write the corrected masks of the named cases, or of all, and a receipt beside them.

    Parameters
    ----------
    form : {"nifti", "nnunet", "monai"}
        Masks, an nnU-Net v2 raw data set, or a MONAI data list with every reader.
    dataset, name : int, str, optional
        nnunet: number, 1 to 999, and name of the data set; 500 and "Corrected" by default.
    ignore_unreviewed : bool, optional
        nnunet: label "ignore" where no reader has answered for the voxel.
    channel : sequence of str, or one, optional
        nnunet: names of the image's channels, such as "CT" for Hounsfield units.
    by_name : bool, optional
        nnunet: one name is one class, where the cases' tables number the same names differently.
    validation, test : float, optional
        monai: shares of the cases for these lists, 0 to 1; none by default.
    seed : int, optional
        monai: which cases these are; 0 by default.
    with_sources : bool
        Say in the provenance which files image and masks were read from.
    by : str, optional
        Login of whoever acts; this computer's user by default, where that is one.

    Raises
    ------
    InputError
        Unknown case or form; an option that the form does not have, or that cannot be used; nothing to export; the
        folder cannot be used.
    NotAllowed
        Whoever acts may not do this.
    Damaged
        The project, or the image of a case, is not what it was.
    """
    options = {
        "dataset": dataset,
        "name": name,
        "ignore_unreviewed": ignore_unreviewed,
        "channel": None if channel is None else texts_of(channel, "channel"),
        "by_name": by_name,
        "validation": validation,
        "test": test,
        "seed": seed,
        "with_sources": with_sources,
    }
    exporter = export.make_exporter(
        text_of(form, "form"), **{key: value for key, value in options.items() if value is not None}
    )
    target, keys = path_of(out), texts_of(cases, "cases")
    with opened(project) as kept:
        return export.export_cases(kept, target, exporter, keys, progress, who_acts(kept, optional_text(by, "by")))
