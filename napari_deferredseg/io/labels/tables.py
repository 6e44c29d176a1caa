"""Names and colours of labels in small text files: our own CSV, JSON, nnU-Net's and ITK-SNAP's."""

from __future__ import annotations

import csv
import json
import re
import shlex
from typing import TYPE_CHECKING, Any
from uuid import uuid4

from napari_deferredseg.core.errors import InputError
from napari_deferredseg.core.names import label_name
from napari_deferredseg.core.volume import RGB, Label, LabelTable, default_label
from napari_deferredseg.io.formats import stem_of
from napari_deferredseg.io.labels.csv_cells import from_cell, to_cell

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping
    from pathlib import Path

HEADER = ("value", "name", "color")
LARGEST = 65535
READABLE = (".csv", ".json", ".txt", ".label")


def read_table(path: Path) -> LabelTable:
    """Read names and colours of labels.

    Parameters
    ----------
    path : Path
        .csv with the columns value, name, color (#rrggbb, may be left out); .json with `{"labels": {"1": "liver"}}` or
        nnU-Net's `{"labels": {"background": 0, "liver": 1}}`; .txt or .label as ITK-SNAP writes them.

    Raises
    ------
    InputError
        Missing, another format, a value twice, out of 0..65535, a name that is none, or a colour that is none.
    """
    suffix = path.suffix.casefold()
    if suffix not in READABLE:
        raise InputError(f"{path}: cannot read a label table of this format; use one of {', '.join(READABLE)}")
    try:
        text = path.read_text(encoding="utf-8-sig")
    except OSError as e:
        raise InputError(f"{path}: cannot be opened ({e.strerror})") from e
    except UnicodeDecodeError as e:
        raise InputError(f"{path}: is no UTF-8 text; save the label table as UTF-8") from e
    if suffix == ".json":
        return _table(path, _from_json(path, text))
    return _table(path, _from_csv(path, text) if suffix == ".csv" else _from_snap(path, text))


def write_table(path: Path, table: LabelTable) -> None:
    """Write a CSV with the header `value,name,color`; a reader sees the old file or the new one, never a half.

    Raises
    ------
    InputError
        Not a .csv, or the folder cannot be written to.
    """
    if path.suffix.casefold() != ".csv":
        raise InputError(f"{path}: label tables are written as .csv")
    part = path.with_name(f".{uuid4().hex}.csv")
    try:
        with part.open("w", encoding="utf-8", newline="") as f:
            rows = csv.writer(f)
            rows.writerow(HEADER)
            rows.writerows((x.value, to_cell(x.name), "#{:02x}{:02x}{:02x}".format(*x.color)) for x in table.labels)
        part.replace(path)
    except OSError as e:
        raise InputError(f"{path}: cannot be written ({e.strerror})") from e
    finally:
        part.unlink(missing_ok=True)


def table_path(mask: Path) -> Path:
    """Where the table of a mask belongs: `liver.labels.csv` beside `liver.nii.gz`."""
    return mask.with_name(f"{stem_of(mask)}.labels.csv")


def table_beside(mask: Path) -> LabelTable | None:
    """Table in `<stem>.labels.csv` or `<stem>.labels.json` beside a mask, or None.

    Raises
    ------
    InputError
        There is one, but it cannot be read.
    """
    beside = (table_path(mask), table_path(mask).with_suffix(".json"))
    return next((read_table(path) for path in beside if path.is_file()), None)


def segment_keys(table: LabelTable) -> dict[str, str]:
    """Header keys by which 3D Slicer finds segments in an NRRD."""
    keys: dict[str, str] = {}
    for i, x in enumerate(table.labels):
        keys |= {
            f"Segment{i}_ID": f"Segment_{x.value}",
            f"Segment{i}_Name": x.name,
            f"Segment{i}_LabelValue": str(x.value),
            f"Segment{i}_Layer": "0",
            f"Segment{i}_Color": " ".join(f"{c / 255:.6g}" for c in x.color),
        }
    return keys


def table_from_segment_keys(path: Path, metadata: Mapping[str, str]) -> LabelTable | None:
    """Table of a 3D Slicer NRRD header, or None when it names no segments.

    Raises
    ------
    InputError
        A value twice or out of range, or a name that is none.
    """
    numbers = sorted(int(m[1]) for key in metadata if (m := re.fullmatch(r"Segment(\d+)_LabelValue", key)))
    labels = []
    for i in numbers:
        name = metadata.get(f"Segment{i}_Name")
        parts = metadata.get(f"Segment{i}_Color", "").split()
        try:
            color = [round(255 * min(max(float(p), 0.0), 1.0)) for p in parts]
        except ValueError:
            color = []
        value = _value(path, metadata[f"Segment{i}_LabelValue"])
        labels.append(_label(path, value, name, (color[0], color[1], color[2]) if len(color) == 3 else None))
    return _table(path, labels) if labels else None


def _table(path: Path, labels: Iterable[Label]) -> LabelTable:
    seen: dict[int, Label] = {}
    for x in labels:
        if x.value in seen:
            raise InputError(f"{path}: the value {x.value} is both {seen[x.value].name!r} and {x.name!r}; keep one")
        seen[x.value] = x
    return LabelTable(labels=tuple(seen[v] for v in sorted(seen) if v))


def _label(path: Path, value: int, name: str | None, color: RGB | None) -> Label:
    """Label of a value; no name at all gives a generated one."""
    try:
        plain = default_label(value, label_name(name) if value and name is not None else None)
    except ValueError as e:
        raise InputError(f"{path}: label {value}: {e}; correct it there") from e
    return plain if color is None else plain.model_copy(update={"color": color})


def _value(path: Path, text: Any) -> int:
    if isinstance(text, list):
        raise InputError(f"{path}: the regions {text} of nnU-Net join several labels; give one value for each name")
    try:
        value = int(text)
    except (TypeError, ValueError):
        value = -1
    if not 0 <= value <= LARGEST or isinstance(text, bool | float):
        raise InputError(f"{path}: the label value {text!r} is not a whole number from 0 to {LARGEST}")
    return value


def _color(path: Path, text: str) -> RGB | None:
    text = text.strip()
    if not text:
        return None
    if re.fullmatch(r"#[0-9a-fA-F]{6}", text) is None:
        raise InputError(f"{path}: the colour {text!r} is not of the form #rrggbb")
    return int(text[1:3], 16), int(text[3:5], 16), int(text[5:7], 16)


def _from_csv(path: Path, text: str) -> list[Label]:
    lines = text.splitlines()
    first = lines[0] if lines else ""
    rows = csv.DictReader(lines, delimiter=";" if ";" in first else ",")  # spreadsheets of some languages write ;
    fields = [(name or "").strip().casefold() for name in rows.fieldnames or ()]
    if "value" not in fields or "name" not in fields:
        raise InputError(f"{path}: its first line must be {','.join(HEADER)}, it is {first[:60]!r}")
    rows.fieldnames = fields
    return [
        _label(path, _value(path, row["value"]), from_cell(row["name"] or ""), _color(path, row.get("color") or ""))
        for row in rows
        if any(row.values())
    ]


def _from_json(path: Path, text: str) -> list[Label]:
    try:
        content = json.loads(text)
    except (ValueError, RecursionError) as e:
        raise InputError(f"{path}: is not valid JSON") from e
    labels = content.get("labels") if isinstance(content, dict) else None
    if not isinstance(labels, dict):
        raise InputError(f'{path}: must hold {{"labels": {{"1": "liver", ...}}}}')
    pairs = []
    for key, value in labels.items():
        by_value = isinstance(value, str)
        number, name = (key, value) if by_value else (value, key)
        pairs.append(_label(path, _value(path, number), str(name), None))
    return pairs


def _from_snap(path: Path, text: str) -> list[Label]:
    labels = []
    for number, line in enumerate(text.splitlines(), start=1):
        if not line.strip() or line.lstrip().startswith("#"):
            continue
        try:
            parts = shlex.split(line)
            r, g, b = (int(p) for p in parts[1:4])
        except ValueError:
            parts, (r, g, b) = [], (0, 0, 0)
        if len(parts) != 8 or not all(0 <= c <= 255 for c in (r, g, b)):
            raise InputError(f"{path}: line {number} is not an ITK-SNAP label description: {line.strip()[:60]!r}")
        labels.append(_label(path, _value(path, parts[0]), parts[7], (r, g, b)))
    return labels
