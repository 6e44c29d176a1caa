"""Read a list of cases to learn from."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any

from pydantic import ValidationError

from napari_deferredseg.core.datalist import SPLITS, DataCase, Datalist
from napari_deferredseg.core.errors import InputError

if TYPE_CHECKING:
    from pathlib import Path


def read_datalist(path: Path) -> Datalist:
    """Read a cases file in MONAI's datalist style: "training", "validation" and "test" lists of cases.

    Parameters
    ----------
    path : Path
        JSON. Paths in it are relative to its folder.

    Returns
    -------
    Datalist
        With absolute paths.

    Raises
    ------
    InputError
        No such file, no JSON, a field that cannot be used, a file that is missing, or a patient in two splits.
    """
    try:
        content = json.loads(path.read_text(encoding="utf-8"))
    except OSError as error:
        raise InputError(f"{path}: cannot be read ({error.strerror or error}); give a JSON file of cases") from None
    except ValueError as error:
        raise InputError(f"{path}: is no JSON ({error}); write a list of cases as the docs show") from None
    try:
        datalist = Datalist.model_validate(content)
    except ValidationError as error:
        raise InputError(f"{path}: {_first_line(error)}") from None
    found: dict[str, tuple[DataCase, ...]] = {
        name: tuple(_absolute(case, path.parent) for case in datalist.split(name)) for name in SPLITS
    }
    datalist = datalist.model_copy(update=found)
    if not any(found.values()):
        raise InputError(f"{path}: names no cases; give at least one of the lists {', '.join(SPLITS)}")
    _check_files(datalist, path)
    _check_patients(datalist, path)
    return datalist


def _absolute(case: DataCase, folder: Path) -> DataCase:
    return case.model_copy(
        update={
            "image": tuple(folder / p for p in case.image),
            "label": folder / case.label if case.label else None,
            "prompt": folder / case.prompt if case.prompt else None,
            "experts": {name: folder / p for name, p in case.experts.items()},
            "support": {name: folder / p for name, p in case.support.items()},
        }
    )


def _first_line(error: ValidationError) -> str:
    first: Any = error.errors()[0]
    where = ".".join(str(x) for x in first["loc"]) or "the file"
    return f"{where}: {first['msg'].removeprefix('Value error, ')}"


def _check_files(datalist: Datalist, path: Path) -> None:
    for split in SPLITS:
        for number, case in enumerate(datalist.split(split)):
            missing = next((p for p in case.files() if not p.exists()), None)
            if missing is not None:
                raise InputError(f"{path}: {split}.{number} names {missing}, which is not there; correct the path")


def _check_patients(datalist: Datalist, path: Path) -> None:
    """A patient in two splits would make every figure look better than it is."""
    seen: dict[str, str] = {}
    for split in SPLITS:
        for case in datalist.split(split):
            if seen.setdefault(case.key, split) != split:
                raise InputError(
                    f"{path}: patient {case.key} is in both {seen[case.key]} and {split}; keep a patient in one split"
                )
