"""Memory and time of `deferredseg run` on two masks of a large CT: `python external_memory.py --work FOLDER`.

A generated CT of noise with 61 organ-like blobs, 512 x 512 x 600, and two masks of it whose borders differ. Each
variant is run by the command line in a process of its own, whose resident memory is sampled every 10 ms. Prints
promised and found side by side. What is in the folder already is taken as it is, so that a cut run goes on where it
was; `--again` measures anew.
"""

from __future__ import annotations

import argparse
import json
import subprocess
import sys
import time
from dataclasses import dataclass
from pathlib import Path
from tempfile import TemporaryDirectory

import numpy as np
import psutil
import SimpleITK as sitk

from napari_deferredseg.core.boxes import slices
from napari_deferredseg.core.geometry import Geometry
from napari_deferredseg.core.random_field import smooth_field
from napari_deferredseg.io.itk import to_image

SPACING = (0.8, 0.8, 1.0)
LABELS = 61
RAGGED, DIFFERS = 0.15, 0.05
CORRELATION_MM = 12.0
PROMISED_GIB, PROMISED_SECONDS = 3.0, 25.0
FULL = (600, 512, 512)
SAMPLED_EVERY = 0.01


@dataclass(frozen=True)
class Variant:
    """How the files are stored."""

    masks: str
    ending: str

    def __str__(self) -> str:
        return f"{self.masks} masks, {self.ending}"


STORED = ("uint8", "uint16", "int32", "int64")
VARIANTS = tuple(Variant(masks, ending) for ending in (".nii.gz", ".mha") for masks in STORED)


def make_arrays(shape: tuple[int, int, int], seed: int) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """CT (z, y, x) int16 and two masks uint8 of its blobs."""
    rng = np.random.default_rng(seed)
    first, second = np.zeros(shape, np.uint8), np.zeros(shape, np.uint8)
    size = np.array(shape) * SPACING[::-1]
    for value in range(1, LABELS + 1):
        radius = size.min() * rng.uniform(0.03, 0.14, 3)
        middle = size / 2 + size * rng.uniform(-0.36, 0.36, 3)
        low = np.maximum((middle - 1.6 * radius) / SPACING[::-1], 0).astype(int)
        high = np.minimum((middle + 1.6 * radius) / SPACING[::-1] + 1, shape).astype(int)
        index = slices(tuple(zip(low.tolist(), high.tolist(), strict=True)))
        at = np.meshgrid(
            *(np.arange(a, b) * s for a, b, s in zip(low, high, SPACING[::-1], strict=True)), indexing="ij"
        )
        away = np.sqrt(sum(((x - m) / r) ** 2 for x, m, r in zip(at, middle, radius, strict=True)))
        away += RAGGED * smooth_field(away.shape, SPACING[::-1], 2 * CORRELATION_MM, rng)
        other = away + DIFFERS * smooth_field(away.shape, SPACING[::-1], CORRELATION_MM, rng)
        for mask, inside in ((first, away < 1), (second, other < 1)):
            crop = mask[index]
            crop[inside & (crop == 0)] = value
    levels = rng.integers(-100, 300, LABELS + 1).astype(np.int16)
    levels[0] = -60
    ct = np.empty(shape, np.int16)
    for z in range(shape[0]):
        ct[z] = levels[first[z]] + rng.normal(0, 20, shape[1:]).astype(np.int16)
    return ct, first, second


def make_files(folder: Path, shape: tuple[int, int, int], seed: int, variants: list[Variant]) -> None:
    """Write what is missing of the variants' files."""
    wanted = [v for v in variants if not all(path.is_file() for path in files_of(folder, v))]
    if not wanted:
        return
    folder.mkdir(parents=True, exist_ok=True)
    ct, first, second = make_arrays(shape, seed)
    grid = Geometry(shape=shape, spacing=SPACING)
    for variant in wanted:
        arrays = (ct, *(mask.astype(variant.masks) for mask in (first, second)))
        for path, array in zip(files_of(folder, variant), arrays, strict=True):
            if not path.is_file():
                part = path.with_name(f"part-{path.name}")
                sitk.WriteImage(to_image(array, grid), str(part), useCompression=True, compressionLevel=3)
                part.replace(path)


def files_of(folder: Path, variant: Variant) -> tuple[Path, Path, Path]:
    """CT and both masks."""
    masks = (folder / f"{name}-{variant.masks}{variant.ending}" for name in ("first", "second"))
    return folder / f"ct{variant.ending}", *masks


def measured(command: list[str]) -> tuple[float, float, str]:
    """Largest resident memory (GiB) of a command with its children, its seconds, and what it printed."""
    began = time.perf_counter()
    peak = 0
    with subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True) as child:
        watched = psutil.Process(child.pid)
        while child.poll() is None:
            peak = max(peak, _resident(watched))
            time.sleep(SAMPLED_EVERY)
        seconds = time.perf_counter() - began
        said = child.stdout.read() if child.stdout is not None else ""
    if child.returncode:
        raise RuntimeError(f"{' '.join(command)} failed: {said}")
    return peak / 2**30, seconds, said


def _resident(process: psutil.Process) -> int:
    total = 0
    try:
        for member in (process, *process.children(recursive=True)):
            total += member.memory_info().rss
    except psutil.NoSuchProcess:
        pass  # it has just ended
    return total


def run_variant(folder: Path, variant: Variant) -> tuple[float, float, str]:
    """Run a variant in a fresh project: GiB, seconds, the line that the run printed."""
    deferredseg = [sys.executable, "-m", "napari_deferredseg.cli"]
    volume, *masks = map(str, files_of(folder, variant))
    with TemporaryDirectory(dir=folder, prefix="project-") as root:
        project = ["--project", str(Path(root) / "p")]
        subprocess.run([*deferredseg, "project", "init", project[1]], check=True, capture_output=True)
        subprocess.run([*deferredseg, "reader", "add", "Ada", *project], check=True, capture_output=True)
        given = [word for mask in masks for word in ("--labels", mask)]
        gib, seconds, said = measured([*deferredseg, "run", volume, *given, *project, "--model", "external"])
    return gib, seconds, said.splitlines()[0]


def main(arguments: list[str] | None = None) -> list[tuple[Variant, float, float]]:
    """Make files, run every variant, print the table."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--work", type=Path, default=Path("external-memory"))
    parser.add_argument("--shape", type=int, nargs=3, default=FULL, metavar=("Z", "Y", "X"))
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--masks", nargs="+", default=list(STORED))
    parser.add_argument("--endings", nargs="+", default=[".nii.gz", ".mha"])
    parser.add_argument("--again", action="store_true")
    given = parser.parse_args(arguments)
    variants = [v for v in VARIANTS if v.masks in given.masks and v.ending in given.endings]
    folder = given.work / "{}-{}x{}x{}".format(given.seed, *given.shape)
    make_files(folder, tuple(given.shape), given.seed, variants)
    found = []
    print("| variant | GiB promised | found | seconds promised | found | the run said |\n|---|---|---|---|---|---|")
    for variant in variants:
        kept = folder / f"found-{variant.masks}{variant.ending}.json"
        figures = (
            json.loads(kept.read_text("utf-8")) if kept.is_file() and not given.again else run_variant(folder, variant)
        )
        kept.write_text(json.dumps(figures), "utf-8")
        gib, seconds, said = figures
        print(
            f"| {variant} | {PROMISED_GIB:g} | {gib:.2f} | {PROMISED_SECONDS:g} | {seconds:.1f} | {said} |", flush=True
        )
        found.append((variant, gib, seconds))
    return found


if __name__ == "__main__":
    main()
