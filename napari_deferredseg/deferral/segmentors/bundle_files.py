"""What a MONAI bundle says of itself. Nothing in it is run: its configuration is read as plain data."""

from __future__ import annotations

import json
import zipfile
import zlib
from contextlib import contextmanager
from dataclasses import dataclass
from typing import IO, TYPE_CHECKING, Any

from napari_deferredseg.core.errors import InputError
from napari_deferredseg.deferral.segmentors.settings import NetworkConfig
from napari_deferredseg.io.limits import GIB, SETTING, most_bytes

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

METADATA, INFERENCE, WEIGHTS = "configs/metadata.json", "configs/inference.json", "models/model.pt"
NETWORKS, INFERER = ("network_def", "network", "net"), "inferer"
USED = {
    "Orientationd",
    "Spacingd",
    "ScaleIntensityd",
    "ScaleIntensityRanged",
    "ScaleIntensityRangePercentilesd",
    "NormalizeIntensityd",
    "ThresholdIntensityd",
}
DONE_ALREADY = {
    "LoadImaged",
    "EnsureChannelFirstd",
    "AsChannelFirstd",
    "AddChanneld",
    "EnsureTyped",
    "ToTensord",
    "CastToTyped",
    "ToDeviced",
}
OTHERS = {"label", "pred", "mask"}
"""Keys of what is not the image."""
DEPTH = 20


@dataclass(frozen=True)
class BundleFiles:
    """A bundle, as a folder or a zip."""

    path: Path

    def document(self, name: str) -> dict[str, Any]:
        """Read one of its JSON files. InputError when it is missing or damaged."""
        with self.opened(name) as file:
            try:
                found = json.loads(file.read().decode("utf-8"))
            except ValueError as error:
                raise InputError(f"{self.path}: {name} is no JSON ({error}); copy the bundle again") from None
        if not isinstance(found, dict):
            raise InputError(f"{self.path}: {name} holds no settings; copy the bundle again")
        return found

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


@dataclass(frozen=True)
class InferenceText:
    """A bundle's configuration for inference: plain data with references, and expressions that are left alone."""

    path: Path
    content: dict[str, Any]

    def refuse_expressions(self) -> None:
        """Check that nothing in it would be run by others. InputError names the first that would."""
        for where, value in _leaves(self.content):
            if isinstance(value, str) and value.startswith("$"):
                raise InputError(
                    f"{self.path}: {INFERENCE} holds code ({where}: {value[:80]!r}), which is never run; to "
                    "use only its network, transforms and inferer write ignore_expressions = true"
                )

    def network(self) -> NetworkConfig:
        """Name and arguments of its network. InputError when it is none of MONAI's by name."""
        found = next((self.content[n] for n in NETWORKS if isinstance(self.content.get(n), dict)), None)
        if found is None:
            raise InputError(f"{self.path}: {INFERENCE} defines no network_def; write segmentor.network")
        plain = self._plain("network_def", found)
        package, _, name = str(plain.pop("_target_", "")).rpartition(".")
        if package and not package.startswith("monai.networks.nets"):
            raise InputError(
                f"{self.path}: its network {package}.{name} is none of MONAI's; use kind = 'module' for it"
            )
        return NetworkConfig(name=name, arguments={k: v for k, v in plain.items() if not k.startswith("_")})

    def transforms(self) -> tuple[dict[str, Any], ...]:
        """Transforms that its images go through, without reading them. InputError for those that are not known."""
        steps = self._plain("preprocessing", self.content.get("preprocessing", {}))
        if not isinstance(steps.get("transforms"), list):
            raise InputError(
                f"{self.path}: {INFERENCE} does not say how images are prepared; write segmentor.transforms"
            )
        found = []
        for step in steps["transforms"]:
            name = str(step.get("_target_", "")).rpartition(".")[2]
            keys = step.get("keys", [])
            if name in DONE_ALREADY or (keys and set([keys] if isinstance(keys, str) else keys) <= OTHERS):
                continue
            found.append({"name": name} | {k: v for k, v in step.items() if k not in ("_target_", "keys")})
        return tuple(found)

    def patch(self) -> tuple[tuple[int, ...] | None, float | None]:
        """Size of its windows and how far they overlap; None where it does not say."""
        inferer = self._plain(INFERER, self.content.get(INFERER, {}))
        size = inferer.get("roi_size")
        return (tuple(int(n) for n in size) if isinstance(size, list) else None), inferer.get("overlap")

    def has_sigmoid(self) -> bool:
        """Whether its network makes one logit a class, each for itself."""
        steps = self.content.get("postprocessing", {})
        named = steps.get("transforms", []) if isinstance(steps, dict) else []
        return any(isinstance(x, dict) and x.get("sigmoid") is True for x in named)

    def _plain(self, where: str, value: Any, depth: int = 0) -> Any:
        """Value with references to other settings followed; expressions are refused."""
        if depth > DEPTH:
            raise InputError(f"{self.path}: {INFERENCE}: references in {where} go round in circles")
        if isinstance(value, dict):
            return {k: self._plain(f"{where}.{k}", v, depth + 1) for k, v in value.items()}
        if isinstance(value, list):
            return [self._plain(f"{where}.{i}", v, depth + 1) for i, v in enumerate(value)]
        if isinstance(value, str) and value.startswith("$"):
            raise InputError(
                f"{self.path}: {INFERENCE} has code for {where} ({value[:80]!r}), which is never run; write it plainly"
            )
        if isinstance(value, str) and value.startswith("@"):
            return self._plain(where, self._at(value[1:]), depth + 1)
        return value

    def _at(self, place: str) -> Any:
        found: Any = self.content
        for part in place.replace("#", "::").split("::"):
            try:
                found = found[int(part)] if isinstance(found, list) else found[part]
            except (KeyError, ValueError, IndexError, TypeError):
                raise InputError(f"{self.path}: {INFERENCE} refers to @{place}, which it does not have") from None
        return found


def _leaves(value: Any, where: str = "") -> Iterator[tuple[str, Any]]:
    if isinstance(value, dict | list):
        for key, item in value.items() if isinstance(value, dict) else enumerate(value):
            yield from _leaves(item, f"{where}.{key}" if where else str(key))
    else:
        yield where, value


def labels_of(path: Path, metadata: dict[str, Any]) -> tuple[str, ...]:
    """Names of a bundle's classes after the background. InputError when it does not say."""
    outputs = metadata.get("network_data_format", {}).get("outputs", {})
    named: dict[str, Any] = next(
        (x["channel_def"] for x in outputs.values() if isinstance(x, dict) and x.get("channel_def")), {}
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
