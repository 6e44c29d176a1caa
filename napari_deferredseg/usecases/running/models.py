"""The models at hand: those that come with the product, those of a project, and those of a folder in the settings."""

from __future__ import annotations

import shutil
import tempfile
from dataclasses import dataclass
from importlib.resources import files
from pathlib import Path
from typing import TYPE_CHECKING

from napari_deferredseg.core.errors import Damaged, DeferredSegError, InputError
from napari_deferredseg.core.volume import table_from_names
from napari_deferredseg.deferral.data.domain import read_domain, scale_of
from napari_deferredseg.deferral.data.segmentor_settings import ModuleConfig
from napari_deferredseg.deferral.model.spec import CARD, read_spec
from napari_deferredseg.deferral.model.trust import call_of, distrust, trust, trusted
from napari_deferredseg.store.files import remedy
from napari_deferredseg.usecases.permissions import Action, require
from napari_deferredseg.usecases.project import require_writable
from napari_deferredseg.usecases.settings import read_settings

if TYPE_CHECKING:
    from napari_deferredseg.core.volume import LabelTable
    from napari_deferredseg.deferral.data.domain import Domain, Scale
    from napari_deferredseg.usecases.project import Project

EXTERNAL = "external"
"""Stands for the output of an AI that ran elsewhere wherever a model is named."""
MODELS = "models"
RESOURCES = "napari_deferredseg_manifest"


@dataclass(frozen=True)
class InstalledModel:
    """A model folder and what it says of itself.

    `thresholds` are the budgets, shares with their unit, that it fixed a threshold for on its validation cases;
    `values` are the values of its labels. A model that is `prompted` must be told by boxes where to look. `scale` is
    how its networks see grey values.
    """

    name: str
    folder: Path
    labels: tuple[str, ...]
    experts: tuple[str, ...]
    channels: int
    shipped: bool
    thresholds: tuple[tuple[float, str], ...] = ()
    values: tuple[int, ...] = ()
    prompted: bool = False
    scale: Scale = "stored"

    @property
    def table(self) -> LabelTable:
        """Its labels, with generated colours."""
        return table_from_names(dict(zip(self.values, self.labels, strict=True)))

    def read_domain(self) -> Domain | None:
        """Read what images it learned from; None where that was not recorded. InputError as `read_domain`."""
        return read_domain(self.folder, self.labels, self.channels)

    def read_card(self) -> str:
        """Read its model card, Markdown. InputError when it has none."""
        path = self.folder / CARD
        try:
            return path.read_text(encoding="utf-8")
        except (OSError, UnicodeDecodeError) as error:
            raise Damaged(f"{path}: the model card is missing or damaged; copy the model again") from error


def list_models(project: Project | None = None) -> list[InstalledModel]:
    """Models of the project by name, then those of the folder in the settings, then the shipped ones.

    Folders that are no models are left out.
    """
    own = [] if project is None else _in(project.folder / MODELS, shipped=False)
    # A file of a package without code has a path; the package itself may be spread over several.
    shipped = Path(str(files(RESOURCES) / "napari.yaml")).parent / "resources" / MODELS
    kept = read_settings().models
    return [*own, *(_in(kept, shipped=False) if kept is not None else ()), *_in(shipped, shipped=True)]


def find_model(name: str, project: Project | None = None) -> InstalledModel:
    """Model of this name, or in this folder.

    Raises
    ------
    InputError
        There is none.
    """
    known = list_models(project)
    for model in known:
        if model.name == name:
            return model
    folder = Path(name)
    if name.strip() and folder.is_dir():
        return describe_model(folder, shipped=False)
    names = ", ".join([EXTERNAL, *(model.name for model in known)])
    raise InputError(f"there is no model {name!r}, nor a folder of that name; known models: {names}")


def describe_model(folder: Path, *, shipped: bool = False) -> InstalledModel:
    """Say what a model folder holds, without loading its weights.

    Raises
    ------
    InputError
        It is no model folder.
    """
    spec = read_spec(folder)
    unit = spec.config.policy.unit
    return InstalledModel(
        name=spec.name,
        folder=folder,
        labels=tuple(label.name for label in spec.table.labels),
        experts=spec.experts,
        channels=spec.channels,
        shipped=shipped,
        thresholds=tuple((b.budget, unit) for b in spec.policy.budgets),
        values=tuple(label.value for label in spec.table.labels),
        prompted=spec.config.segmentor.PROMPTED,
        scale=scale_of(spec.config.data),
    )


def add_model(project: Project, folder: Path, by: str | None = None) -> InstalledModel:
    """Copy a model folder into the project's registry, whole or not at all.

    Raises
    ------
    InputError
        It is no model folder, one of this name is there, or the project cannot be written.
    NotAllowed
        `by`, the login of who acts, may not do this.
    """
    require(project, Action.ADD_MODEL, by)
    require_writable(project)
    name = describe_model(folder).name
    if name == EXTERNAL or name in (model.name for model in list_models(project)):
        raise InputError(f"{folder}: there is a model called {name!r} already; train the new one under another name")
    target = project.folder / MODELS / folder.resolve().name
    if target.exists():
        raise InputError(f"{target} exists: rename the model folder, or delete that one")
    try:
        target.parent.mkdir(exist_ok=True)
        with tempfile.TemporaryDirectory(dir=target.parent) as scratch:
            fresh = Path(scratch) / "model"
            shutil.copytree(folder, fresh, ignore=shutil.ignore_patterns("log", "work"))
            fresh.rename(target)
    except OSError as error:
        raise InputError(f"{target} cannot be written: {error.strerror or error}; {remedy(error)}") from None
    return describe_model(target)


def allowed_calls() -> tuple[str, ...]:
    """What models may run of other packages on this computer. InputError when the list of it is damaged."""
    return trusted()


def allow(folder: Path) -> str:
    """Allow what a model runs of another package on this computer; returns the call.

    Raises
    ------
    InputError
        As `_foreign_call`, or the settings of this user cannot be written.
    """
    trust(call := _foreign_call(folder))
    return call


def withdraw(folder: Path) -> str:
    """Allow it no longer; as `allow`."""
    distrust(call := _foreign_call(folder))
    return call


def _foreign_call(folder: Path) -> str:
    """Call by which a model makes its network. InputError when it is no model folder, or runs nothing of others."""
    segmentor = read_spec(folder).config.segmentor
    if not isinstance(segmentor, ModuleConfig):
        raise InputError(f"{folder}: this model runs no code of another package, so there is nothing to allow")
    return call_of(segmentor)


def _in(folder: Path, *, shipped: bool) -> list[InstalledModel]:
    found = []
    for place in sorted(folder.iterdir()) if folder.is_dir() else ():
        try:
            found.append(describe_model(place, shipped=shipped))
        except DeferredSegError:
            continue
    return found
