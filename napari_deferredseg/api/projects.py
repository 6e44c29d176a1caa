"""Projects, and what comes out of them."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from napari_deferredseg.api.given import opened, path_of
from napari_deferredseg.core.progress import Progress, silent
from napari_deferredseg.usecases import demo, export
from napari_deferredseg.usecases import project as projects

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
    return demo.make_demo(path_of(folder), seed, progress)


def init_project(folder: StrPath, name: str | None = None) -> Project:
    """Make a project in a new folder; close it, or use it in a `with` block.

    Raises
    ------
    InputError
        The folder holds something already, lies on a network share, or cannot be written.
    """
    return projects.init_project(path_of(folder), name)


def open_project(folder: StrPath) -> Project:
    """Open a project; close it, or use it in a `with` block.

    Raises
    ------
    InputError
        It is none, is damaged, made by a newer version, or lies on a network share.
    """
    return projects.open_project(path_of(folder))


def export_labels(
    project: Project | StrPath,
    out: StrPath,
    form: str = "nifti",
    *,
    cases: Sequence[str] = (),
    progress: Progress = silent,
    **options: Any,
) -> list[Exported]:
    """Write the corrected masks of the named cases, or of all, and a receipt beside them.

    Parameters
    ----------
    form : {"nifti", "nnunet", "monai"}
        Masks, an nnU-Net v2 raw data set, or a MONAI data list with every reader.
    **options
        Of the form, as `deferredseg export --help` names them, such as `ignore_unreviewed=True`.

    Raises
    ------
    InputError
        Unknown case, form or option; nothing to export; the folder cannot be used.
    """
    exporter = export.make_exporter(form, **options)
    with opened(project) as kept:
        return export.export_cases(kept, path_of(out), exporter, cases, progress)
