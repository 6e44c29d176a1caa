"""The folder of an unfinished run: what is checked before it, what makes two runs the same, what is left of it."""

from __future__ import annotations

import json
import shutil
from typing import TYPE_CHECKING, Any

from napari_deferredseg.core.errors import InputError
from napari_deferredseg.deferral.data.domain import FILE as DOMAIN
from napari_deferredseg.deferral.model.spec import CARD, CONFIG, WEIGHTS

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

    from napari_deferredseg.core.datalist import Datalist
    from napari_deferredseg.deferral.data.cases import Prepared
    from napari_deferredseg.deferral.data.train_settings import TrainConfig

WORK, RUN, LOG, CASES = "work", "run.json", "log", "cases"


def require_prompts(datalist: Datalist) -> None:
    """Check before hours are spent that every case says where to look. InputError names one that does not."""
    missing = next((case for case in (*datalist.training, *datalist.validation) if case.prompt is None), None)
    if missing is not None:
        raise InputError(f"{missing.image[0]}: the segmentor must be told where to look; give each case a prompt mask")


def move_out(work: Path, out: Path) -> None:
    """Put a finished model into its folder; its description, which makes it one, comes last."""
    if (work / LOG).exists():
        shutil.rmtree(out / LOG, ignore_errors=True)
        (work / LOG).replace(out / LOG)
    for name in (WEIGHTS, CARD, DOMAIN, CONFIG):
        (work / name).replace(out / name)
    shutil.rmtree(work)


def require_cases(datalist: Datalist, out: Path) -> None:
    """Check that there is something to learn from and a folder for it. InputError when there is not."""
    for split in ("training", "validation"):
        if not datalist.split(split):
            raise InputError(f"the list of cases has no {split} cases: give some")
    if not any(case.experts for case in datalist.training):
        raise InputError("no training case names an expert's mask: a router has nobody to route to")
    unfinished = (out / WORK / RUN).exists()
    if out.exists() and not unfinished and (not out.is_dir() or any(out.iterdir())):
        raise InputError(f"{out} holds files already: give a new folder for the model")


def workplace(out: Path, config: TrainConfig, seed: int) -> Path:
    """Folder of the unfinished run; another run's is refused."""
    work = out / WORK
    work.mkdir(parents=True, exist_ok=True)
    same_run(work / RUN, {"config": config.model_dump(mode="json"), "seed": seed}, "settings")
    return work


def data_of(prepared: Prepared) -> dict[str, Any]:
    """What makes two lists of cases the same: voxels, readers, which cases are of one patient."""
    first: dict[str, int] = {}
    cases = [[case.key, first.setdefault(case.patient, number)] for number, case in enumerate(prepared.cases)]
    return {"digest": prepared.digest, "experts": prepared.experts, "cases": cases}


def same_run(stamp: Path, content: dict[str, Any], what: str, start_anew: Callable[[], None] = lambda: None) -> None:
    """Keep what a run was started with. Another one starts anew, and is refused once something has been fitted."""
    text = json.dumps(content, sort_keys=True)
    if stamp.exists() and stamp.read_text(encoding="utf-8") == text:
        return
    if any(stamp.parent.glob("*.safetensors")) or any(stamp.parent.glob("*/*.ckpt")):
        raise InputError(f"{stamp.parent} holds an unfinished run with other {what}: delete it, or give them again")
    start_anew()
    stamp.write_text(text, encoding="utf-8")
