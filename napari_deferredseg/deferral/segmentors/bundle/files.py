"""What a MONAI bundle says of itself. Nothing in it is run: its configuration is read as plain data."""

from __future__ import annotations

import json
import zipfile
import zlib
from contextlib import contextmanager
from dataclasses import dataclass
from typing import IO, TYPE_CHECKING, Any

import yaml

from napari_deferredseg.core.errors import InputError
from napari_deferredseg.deferral.segmentors.bundle.text import InferenceText
from napari_deferredseg.io.headers.limits import GIB, SETTING, most_bytes

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

METADATA, WEIGHTS = "configs/metadata.json", "models/model.pt"
INFERENCE = ("configs/inference.json", "configs/inference.yaml", "configs/inference.yml")
"""The first that a bundle has counts."""


@dataclass(frozen=True)
class BundleFiles:
    """A bundle, as a folder or a zip."""

    path: Path

    def document(self, name: str) -> dict[str, Any]:
        """Read one of its JSON or YAML files. InputError when it is missing or damaged."""
        with self.opened(name) as file:
            try:
                text = file.read().decode("utf-8")
                found = json.loads(text) if name.endswith(".json") else yaml.safe_load(text)
            except (ValueError, yaml.YAMLError) as error:
                form, why = "JSON" if name.endswith(".json") else "YAML", " ".join(str(error).split())
                raise InputError(f"{self.path}: {name} is no {form} ({why}); copy the bundle again") from None
        if not isinstance(found, dict):
            raise InputError(f"{self.path}: {name} holds no settings; copy the bundle again")
        return found

    def has_inference(self) -> bool:
        """Whether it has a configuration for inference."""
        return any(self._has(name) for name in INFERENCE)

    def inference(self) -> InferenceText:
        """Read its configuration for inference. InputError as `document`."""
        name = next((name for name in INFERENCE if self._has(name)), INFERENCE[0])
        return InferenceText(self.path, name, self.document(name))

    def _has(self, name: str) -> bool:
        try:
            with self.opened(name):
                return True
        except InputError:
            return False

    @contextmanager
    def opened(self, name: str) -> Iterator[IO[bytes]]:
        """Open one of its files. InputError when there is none."""
        try:
            if self.path.is_dir():
                with (self.path / name).open("rb") as file:
                    yield file
            else:
                with zipfile.ZipFile(self.path) as archive, archive.open(_member(archive, name)) as file:
                    yield file
        except (OSError, KeyError, EOFError, RuntimeError, zipfile.BadZipFile, zlib.error) as error:
            raise InputError(
                f"{self.path}: {name} cannot be read ({error}); give the folder or zip of a bundle"
            ) from None


def _member(archive: zipfile.ZipFile, name: str) -> str:
    """Name in an archive, which may have the bundle's folder on top."""
    for known in archive.namelist():
        if known == name or known.partition("/")[2] == name:
            size, most = archive.getinfo(known).file_size, most_bytes()
            if size > most:
                raise InputError(
                    f"{archive.filename}: {name} would unpack to {size / GIB:,.1f} GiB, more than {most / GIB:.4g}; "
                    f"if that is right, set {SETTING} to a larger number"
                )
            return known
    raise KeyError(f"no {name} in it")


def labels_of(path: Path, metadata: dict[str, Any]) -> tuple[str, ...]:
    """Names of a bundle's classes after the background. InputError when it does not say."""
    outputs = metadata.get("network_data_format", {}).get("outputs", {})
    named: dict[str, Any] = next(
        (x[k] for x in outputs.values() if isinstance(x, dict) for k in ("channel_def", "label_def") if x.get(k)), {}
    )
    names = [str(named[k]) for k in sorted(named, key=int)] if all(str(k).isdigit() for k in named) else []
    if names and names[0].casefold() == "background":
        names = names[1:]
    if not names:
        raise InputError(f"{path}: {METADATA} does not name its classes; write segmentor.labels")
    return tuple(names)


def channels_of(path: Path, metadata: dict[str, Any]) -> int:
    """How many image channels a bundle takes. InputError when it does not say."""
    inputs = metadata.get("network_data_format", {}).get("inputs", {})
    for found in inputs.values():
        if isinstance(found, dict) and type(found.get("num_channels")) is int:
            return int(found["num_channels"])
    raise InputError(f"{path}: {METADATA} does not say how many channels it takes; write segmentor.channels")
