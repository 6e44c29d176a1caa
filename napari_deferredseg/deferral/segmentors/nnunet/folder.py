"""Read the folder of a trained nnU-Net. Nothing in it is run, and no name in it is looked up before it is known."""

from __future__ import annotations

import json
import warnings
from typing import TYPE_CHECKING, Any

import numpy as np
from pydantic import ValidationError

from napari_deferredseg.core.errors import InputError
from napari_deferredseg.deferral.data.segmentor_settings import NnunetConfig
from napari_deferredseg.deferral.networks.builders import first_line
from napari_deferredseg.deferral.networks.weights import content_of
from napari_deferredseg.deferral.segmentors.nnunet.library import nnunet_library

if TYPE_CHECKING:
    from pathlib import Path

FOLD = "fold_"
SCALAR = np.float64(0).__reduce__()[0]
# What nnU-Net logs of a training are NumPy's scalars; NumPy 1 called their module otherwise.
ALLOWED = [
    (SCALAR, "numpy.core.multiarray.scalar"),
    (SCALAR, "numpy._core.multiarray.scalar"),
    np.dtype,
    *(type(np.dtype(kind)) for kind in (np.float16, np.float32, np.float64, np.int32, np.int64, np.bool_)),
]


def read_folder(config: NnunetConfig) -> NnunetConfig:
    """Settings with what the files of the folder say.

    Raises
    ------
    InputError
        A file is missing, damaged, or of a kind that cannot be used.
    """
    if config.folder is None:
        raise InputError("segmentor.folder is missing: name the folder of a trained nnU-Net, with plans.json in it")
    folder = config.folder
    plans, dataset = (_json(folder / name) for name in ("plans.json", "dataset.json"))
    folds = config.folds or _folds_in(folder, config.checkpoint)
    first, *_ = [checkpoint_of(folder, fold, config.checkpoint) for fold in folds]
    content = read_checkpoint(first)
    arguments = content.get("init_args")
    name = str(arguments.get("configuration")) if isinstance(arguments, dict) else ""
    found = {
        "plans": plans | {"configurations": {name: _configuration(plans, name, folder / "plans.json")}},
        "dataset": dataset,
        "folds": folds,
        "mirror_axes": content.get("inference_allowed_mirroring_axes") or (),
    }
    try:
        return NnunetConfig.model_validate(config.model_dump() | found)
    except ValidationError as error:
        raise InputError(f"{folder}: {_line(error)}") from None


def read_checkpoint(path: Path) -> dict[str, Any]:
    """Weights of a fold, and what training noted. InputError when the file is missing, damaged or carries code."""
    content = content_of(path, allowed=ALLOWED)
    if not isinstance(content, dict) or not isinstance(content.get("network_weights"), dict):
        raise InputError(f"{path}: is no checkpoint of nnU-Net v2; name one that its training wrote")
    return content


def checkpoint_of(folder: Path, fold: int | str, name: str) -> Path:
    """File with the weights of a fold. InputError when there is none."""
    path = folder / f"{FOLD}{fold}" / name
    if not path.is_file():
        raise InputError(f"{path}: is missing; correct segmentor.folds or segmentor.checkpoint, or train that fold")
    return path


def _folds_in(folder: Path, name: str) -> tuple[int | str, ...]:
    """Folds of the cross-validation that are trained; the one over all cases only where there is nothing else."""
    found = sorted(path.parent.name.removeprefix(FOLD) for path in folder.glob(f"{FOLD}*/{name}"))
    numbers = tuple(int(fold) for fold in found if fold.isdecimal())
    if not numbers and "all" not in found:
        raise InputError(f"{folder}: holds no fold_N/{name}; train a fold, or correct segmentor.checkpoint")
    return numbers or ("all",)


def _json(path: Path) -> dict[str, Any]:
    try:
        content = json.loads(path.read_text(encoding="utf-8"))
    except FileNotFoundError:
        raise InputError(
            f"{path}: is missing; give the folder of a trained nnU-Net, nnUNet_results/Dataset.../Trainer__Plans__..."
        ) from None
    except (OSError, ValueError):
        content = None
    if not isinstance(content, dict):
        raise InputError(f"{path}: cannot be read as JSON; copy it again")
    return content


def _configuration(plans: dict[str, Any], name: str, path: Path) -> dict[str, Any]:
    """Configuration of the plans, with what it inherits from others."""
    known = plans.get("configurations")
    chain: list[dict[str, Any]] = []
    wanted: Any = name
    while wanted is not None:
        own = known.get(wanted) if isinstance(known, dict) else None
        if not isinstance(own, dict) or own in chain:
            raise InputError(f"{path}: has no configuration {wanted!r}, which was trained; copy the folder again")
        chain.append(own)
        wanted = own.get("inherits_from")
    found = {key: value for own in reversed(chain) for key, value in own.items()}
    return found if "architecture" in found else _modern(found, path)


def _modern(found: dict[str, Any], path: Path) -> dict[str, Any]:
    """Configuration of nnU-Net before 2.4 in today's terms, by nnU-Net's own conversion."""
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            return dict(nnunet_library().configuration_manager(found).configuration)
    except InputError:
        raise
    except Exception as error:
        raise InputError(f"{path}: describes no network ({first_line(error)}); copy the folder again") from error


def _line(error: ValidationError) -> str:
    first = error.errors()[0]
    where = ".".join(str(x) for x in first["loc"])
    value = "" if isinstance(first["input"], dict) else f" = {first['input']!r}"
    return f"{where}{value}: {first['msg'].removeprefix('Value error, ')}"
