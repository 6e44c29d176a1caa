"""What a MONAI bundle's configuration for inference says, read as plain data: expressions are never run."""

from __future__ import annotations

import re
from dataclasses import dataclass
from itertools import count
from typing import TYPE_CHECKING, Any, Literal

from napari_deferredseg.core.errors import InputError
from napari_deferredseg.deferral.data.segmentor_settings import NetworkConfig

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

NETWORKS = ("network_def", "network", "net")
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
DEPTH, MOST = 20, 20_000
REFERENCE = re.compile(r"[@%]|\$(?=@[\w:#]+$)")
"""Starts a value that is another's; "$@name" runs nothing, and says the same as "@name"."""


@dataclass(frozen=True)
class InferenceText:
    """A bundle's configuration for inference: plain data with references, and expressions that are left alone.

    Each method reads the places that it needs and no other, and raises InputError with the key to write in
    `[segmentor]` where one of them is an expression or missing.
    """

    path: Path
    name: str
    content: dict[str, Any]

    def network(self) -> NetworkConfig:
        """Name and arguments of its network. InputError also when it is none of MONAI's by name."""
        code: InputError | None = None
        for place in (x for x in NETWORKS if x in self.content):
            try:
                found = self._shallow("network", place, self.content[place])
            except InputError as error:
                code = code or error
                continue
            if isinstance(found, dict):
                return self._network(place, found)
        raise code or self._missing("defines no network_def", "network")

    def _network(self, place: str, found: dict[str, Any]) -> NetworkConfig:
        package, _, name = str(self._plain("network", f"{place}._target_", found.get("_target_", ""))).rpartition(".")
        if package and not package.startswith("monai.networks.nets"):
            raise InputError(
                f"{self.path}: its network {package}.{name} is none of MONAI's; use kind = 'module' for it"
            )
        arguments = self._arguments("network", place, found)
        if arguments.get("spatial_dims", 3) != 3:
            raise InputError(f"{self.path}: its network {name} sees slices; bundles for volumes can be used")
        return NetworkConfig(name=name, arguments=arguments)

    def transforms(self) -> tuple[dict[str, Any], ...]:
        """Transforms that its images go through, without reading them."""
        key, place = "transforms", "preprocessing.transforms"
        whole = self._shallow(key, "preprocessing", self.content.get("preprocessing"))
        steps = self._shallow(key, place, whole.get("transforms") if isinstance(whole, dict) else whole)
        if not isinstance(steps, list):
            raise self._missing("does not say how images are prepared", key)
        found = []
        for number, given in enumerate(steps):
            here = f"{place}.{number}"
            step = self._shallow(key, here, given)
            name = str(self._plain(key, f"{here}._target_", step.get("_target_", ""))).rpartition(".")[2]
            if name in DONE_ALREADY or self._plain(key, f"{here}._disabled_", step.get("_disabled_", False)) is True:
                continue
            keys = self._plain(key, f"{here}.keys", step.get("keys", []))
            if keys and set([keys] if isinstance(keys, str) else keys) <= OTHERS:
                continue
            found.append({"name": name} | self._arguments(key, here, {k: v for k, v in step.items() if k != "keys"}))
        return tuple(found)

    def patch(self) -> tuple[int, ...]:
        """Size of its windows (x, y, z)."""
        size = self._plain("patch", "inferer.roi_size", self._inferer("patch").get("roi_size"))
        sizes = tuple(int(n or 0) for n in size) if isinstance(size, list) else (size,) * 3
        if not all(isinstance(n, int) and n > 0 for n in sizes):
            raise self._missing("does not say how large its windows are", "patch")
        return sizes

    def overlap(self) -> float | None:
        """How far its windows overlap; None where it does not say."""
        found = self._plain("overlap", "inferer.overlap", self._inferer("overlap").get("overlap"))
        several = set(found) if isinstance(found, list) else {found}
        if len(several) != 1:
            raise self._missing(f"has windows that overlap by {found}, another share on each axis", "overlap")
        one = several.pop()
        return None if one is None else float(one)

    def output(self, labels: int) -> Literal["logits", "foreground-logit"]:
        """What its network makes for so many labels, by its postprocessing.

        Raises
        ------
        InputError
            One logit a class, each for itself: classes may overlap, which no label map can show.
        """
        key, place = "output", "postprocessing.transforms"
        whole = self._shallow(key, "postprocessing", self.content.get("postprocessing", {}))
        steps = self._shallow(key, place, whole.get("transforms", []) if isinstance(whole, dict) else whole)
        shallow = [self._shallow(key, f"{place}.{i}", x) for i, x in enumerate(steps)]
        sigmoids = [
            self._plain(key, f"{place}.{i}.sigmoid", x.get("sigmoid"))
            for i, x in enumerate(shallow)
            if isinstance(x, dict)
        ]
        if True not in sigmoids:
            return "logits"
        if labels > 1:
            raise InputError(
                f"{self.path}: its classes may overlap (sigmoid), which no label map can show; use another"
            )
        return "foreground-logit"

    def _inferer(self, key: str) -> dict[str, Any]:
        found = self._shallow(key, "inferer", self.content.get("inferer", {}))
        return found if isinstance(found, dict) else {}

    def _arguments(self, key: str, place: str, given: dict[str, Any]) -> dict[str, Any]:
        """Arguments of something that has a name; what configures the configuration itself is left out."""
        plain = {k: self._plain(key, f"{place}.{k}", v) for k, v in given.items() if not str(k).startswith("_")}
        for where, target in _targets(plain, place):
            raise InputError(
                f"{self.path}: {self.name} makes {where} by {target}, which plain settings cannot; "
                f"{'use kind = ' + repr('module') if key == 'network' else f'write segmentor.{key}'}"
            )
        return plain

    def _shallow(self, key: str, where: str, value: Any) -> Any:
        """Value behind a reference, what is in it left as it is."""
        for _ in range(DEPTH):
            if not isinstance(value, str) or not value.startswith(("@", "%", "$")):
                return value
            value = self._behind(key, where, value)
        raise self._circle(where)

    def _plain(self, key: str, where: str, value: Any, depth: int = 0, visited: Iterator[int] | None = None) -> Any:
        """Value with every reference in it followed."""
        visited = visited or count()
        if depth > DEPTH or next(visited) > MOST:  # also what doubles at each turn
            raise self._circle(where)
        value = self._shallow(key, where, value)
        if isinstance(value, dict):
            return {k: self._plain(key, f"{where}.{k}", v, depth + 1, visited) for k, v in value.items()}
        if isinstance(value, list):
            return [self._plain(key, f"{where}.{i}", v, depth + 1, visited) for i, v in enumerate(value)]
        return value

    def _behind(self, key: str, where: str, text: str) -> Any:
        """What a reference stands for; expressions are refused."""
        start = REFERENCE.match(text)
        if start is None:
            raise InputError(
                f"{self.path}: {self.name} has code for {where} ({text[:80]!r}), which is never run; "
                f"write segmentor.{key}"
            )
        found: Any = self.content
        place = text[start.end() :].removeprefix("@")
        for part in place.replace("#", "::").split("::"):
            try:
                found = found[int(part)] if isinstance(found, list) else found[part]
            except (KeyError, ValueError, IndexError, TypeError):
                raise InputError(
                    f"{self.path}: {self.name} refers to @{place} for {where}, which is not in it; "
                    f"write segmentor.{key}"
                ) from None
        return found

    def _circle(self, where: str) -> InputError:
        return InputError(f"{self.path}: {self.name}: references in {where} go round in circles")

    def _missing(self, what: str, key: str) -> InputError:
        return InputError(f"{self.path}: {self.name} {what}; write segmentor.{key}")


def _targets(value: Any, where: str) -> Iterator[tuple[str, str]]:
    """Places in plain data that something must be called for, and what."""
    if isinstance(value, dict) and "_target_" in value:
        yield where, str(value["_target_"])
    elif isinstance(value, dict | list):
        for key, item in value.items() if isinstance(value, dict) else enumerate(value):
            yield from _targets(item, f"{where}.{key}")
