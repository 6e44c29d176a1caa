"""NOTICE names everything that an installation brings along and that is not under a permissive licence."""

from __future__ import annotations

import re
import tomllib
from fnmatch import fnmatch
from importlib.metadata import Distribution, PackageNotFoundError, distribution
from pathlib import Path

import pytest
from packaging.requirements import Requirement
from packaging.utils import canonicalize_name

ROOT = Path(__file__).parents[1]
PERMISSIVE = re.compile(
    r"\b(0?BSD|MIT|Apache|PSF|Python Software Foundation|ISCL?|Zlib|BSL-1\.0|CC0|HPND|matplotlib|LLVM-exception)\b",
    re.I,
)
OTHER = re.compile(r"GPL|\bMPL|Mozilla|EPL|CDDL|EUPL|SSPL|Proprietary|Commercial|CC-BY|NonCommercial|LicenseRef", re.I)
SILENT = {"segment-anything", "cuda-toolkit"}
"""Packages whose metadata says nothing."""


def brought_along() -> dict[str, Distribution]:
    """Every installed distribution that our dependencies and extras lead to, by name."""
    project = tomllib.loads((ROOT / "pyproject.toml").read_text("utf-8"))["project"]
    extras = [line for lines in project["optional-dependencies"].values() for line in lines]
    todo = [Requirement(line) for line in (*project["dependencies"], *extras)]
    found: dict[str, Distribution] = {}
    done: set[tuple[str, frozenset[str]]] = set()
    while todo:
        wanted = todo.pop()
        name, asked = canonicalize_name(wanted.name), frozenset(wanted.extras)
        if name == "napari-deferredseg" or (name, asked) in done:
            continue
        done.add((name, asked))
        try:
            found[name] = distribution(name)
        except PackageNotFoundError:
            continue  # an extra that this environment has not
        needs = [Requirement(line) for line in found[name].requires or ()]
        todo += [x for x in needs if not x.marker or any(x.marker.evaluate({"extra": e}) for e in asked | {""})]
    return found


def licence_of(dist: Distribution) -> str:
    """What the metadata says: an expression, else classifiers, else the first line of a text."""
    said = dist.metadata
    classified = [x.rsplit("::", 1)[-1].strip() for x in said.get_all("Classifier") or () if x.startswith("License ::")]
    first = (said.get("License") or "").strip().partition("\n")[0]  # type: ignore[attr-defined]
    return said.get("License-Expression") or ", ".join((first, *classified))  # type: ignore[attr-defined]


def told() -> dict[str, str]:
    """Licence of each package in the lists of NOTICE."""
    lines = re.findall(r"^- ([^:]+): (.+)$", (ROOT / "NOTICE").read_text("utf-8"), re.M)
    return {
        name if "*" in name else canonicalize_name(name): text for names, text in lines for name in names.split(", ")
    }


@pytest.mark.parametrize(
    ("said", "permissive"),
    [
        ("MIT", True),
        ("Apache-2.0 OR BSD-2-Clause", True),
        ("MPL-2.0 AND MIT", False),
        ("LicenseRef-NVIDIA-Proprietary", False),
        ("LGPL-3.0-only OR GPL-2.0-only", False),
        (", ", False),
    ],
)
def test_what_counts_as_permissive(said: str, permissive: bool) -> None:
    assert is_permissive(said) == permissive


def is_permissive(said: str) -> bool:
    return bool(PERMISSIVE.search(said)) and not OTHER.search(said)


def test_whatever_is_not_permissive_is_named() -> None:
    found = brought_along()
    assert {"numpy", "napari", "connected-components-3d", "highdicom", "certifi"} <= found.keys()
    known = told()
    missing = {
        name: licence_of(dist)
        for name, dist in found.items()
        if not is_permissive(licence_of(dist)) and not any(fnmatch(name, pattern) for pattern in known)
    }
    assert missing == {}


def test_what_is_named_is_brought_along_under_that_licence() -> None:
    found = brought_along()
    for pattern, text in told().items():
        for name in (x for x in found if fnmatch(x, pattern)):
            said = licence_of(found[name])
            if name in SILENT:
                assert not PERMISSIVE.search(said), f"{name} says {said} now"
                continue
            assert not is_permissive(said), f"{name} is under {said}"
            words = re.findall(r"L?GPL-3\.0|GPL-2\.0|MPL-2\.0|MIT|proprietary", said, re.I)
            assert words, said
            assert all(word.casefold() in text.casefold() for word in words), f"{name}: {said}"
    if "torch" in found and "nnunetv2" in found and "pyside6" in found:
        assert not [p for p in told() if p not in SILENT and "*" not in p and p not in found]
