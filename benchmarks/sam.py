"""Segment Anything below a router: `python sam.py loop|fast|memory --out DIR [--data CT MASK_A MASK_B]`.

Weights are random, in the published format of ViT-B: figures of speed and memory are those of real ones, masks not.

loop    30 slices: train a router by the command, kill it, go on, judge, run; the plain mask before and after, against
        the package's own
fast    seconds a slice of the fast way against the published one, the Dice of both masks, and the rate of a large
        matrix product beside it
memory  512 x 512 x 300 with a box in every slice: peak memory
"""

from __future__ import annotations

import argparse
import json
import os
import resource
import subprocess
import sys
import time
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
import SimpleITK as sitk
import torch
from commands import command
from segment_anything import SamPredictor, sam_model_registry

from napari_deferredseg.core.geometry import Geometry
from napari_deferredseg.core.scan import Scan, SliceBox
from napari_deferredseg.core.volume import LabelTable, Volume, table_from_names
from napari_deferredseg.deferral.data.devices import pick
from napari_deferredseg.deferral.data.segmentor_settings import SamConfig
from napari_deferredseg.deferral.model.model import load_model
from napari_deferredseg.deferral.segmentors.sam.embeddings import FOLDER
from napari_deferredseg.deferral.segmentors.sam.segmentor import (
    SamSegmentor,
    SamSlice,
    load_weights,
    make_network,
    segmentor_over,
)
from napari_deferredseg.deferral.segmentors.sam.slices import gray
from napari_deferredseg.io.images import read_labels, read_volume
from napari_deferredseg.masks.prompts import boxes_of

if TYPE_CHECKING:
    from collections.abc import Sequence

    from numpy.typing import NDArray

WINDOW = (-160.0, 240.0)
PARTS = {"training": (0, 14), "validation": (14, 22), "test": (22, 30)}
TOML = """
[segmentor]
kind = "sam"
checkpoint = "vit_b.pth"
window = [-160, 240]
path = "{path}"

[data]
spatial_dims = 2
patch = [64, 64]

[router]
fit = {{ steps = 20, batch = 2, validate_every = 10, learning_rate = 0.001 }}

[policy]
unit = "predicted-foreground"
budgets = [0.05, 0.1, 0.2]
"""


def checkpoint(out: Path) -> Path:
    """Random weights of ViT-B as a published file."""
    path = out / "vit_b.pth"
    if not path.exists():
        torch.manual_seed(0)
        made = sam_model_registry["vit_b"]()
        for name, weight in made.named_parameters():
            if "rel_pos" in name or "pos_embed" in name:
                torch.nn.init.normal_(weight, std=0.02)
        torch.save(made.state_dict(), path)
    return path


def segmentor(out: Path, path: str, table: LabelTable) -> SamSegmentor:
    config = SamConfig(kind="sam", checkpoint=checkpoint(out), path=path, window=WINDOW)
    network = make_network(config)
    load_weights(network, config)
    return segmentor_over(network, config, table, None)


def write_cases(out: Path, ct: Path, first: Path, second: Path) -> Path:
    """Three volumes of some of the slices; the second mask is the reference, the first the prompt."""
    content: dict[str, list[dict[str, object]]] = {}
    for part, (start, stop) in PARTS.items():
        for name, path in (("ct", ct), ("prompt", first), ("label", second)):
            image = sitk.ReadImage(str(path))
            sitk.WriteImage(image[:, :, start:stop], str(out / f"{part}_{name}.nii.gz"))
        content[part] = [
            {k: f"{part}_{v}.nii.gz" for k, v in (("image", "ct"), ("prompt", "prompt"), ("label", "label"))}
        ]
    cases = out / "cases.json"
    cases.write_text(json.dumps(content), encoding="utf-8")
    command("simulate-readers", "--data", cases, "--out", out / "read")
    return out / "read" / "cases.json"


def loop(out: Path, ct: Path, first: Path, second: Path) -> None:
    os.environ[FOLDER] = str(out / "embeddings")
    checkpoint(out)
    cases = write_cases(out, ct, first, second)
    content = json.loads(cases.read_text("utf-8"))
    (out / "sam.toml").write_text(TOML.format(path="plain"), encoding="utf-8")
    case = content["test"][0]
    volume = read_volume(cases.parent / case["image"])
    prompt = read_labels(cases.parent / case["prompt"])
    boxes = tuple(b for b in boxes_of(prompt.array) if b.z < 2)
    table = prompt.table.completed(np.unique(prompt.array)[1:].tolist())
    untrained = segmentor(out, "plain", table)
    before = untrained.segment(Scan(volume, boxes), pick("cpu"))
    words = ["train", "--data", cases, "--out", out / "model", "--config", out / "sam.toml", "--seed", "0"]
    started = subprocess.Popen([sys.executable, "-m", "napari_deferredseg.cli", *map(str, words)], stdout=sys.stderr)
    while not list((out / "model").glob("work/router/last.ckpt")) and started.poll() is None:
        time.sleep(0.5)
    started.kill()
    started.wait()
    begun = time.perf_counter()
    command(*words)
    print(f"- killed after the first validation of the router; the rest took {time.perf_counter() - begun:.0f} s")
    command("evaluate", "--model", out / "model", "--data", cases, "--split", "test", "--out", out / "report")
    command("project", "init", out / "project")
    command("reader", "add", "ada", "--project", out / "project")
    command(
        "run",
        volume.source,
        "--model",
        out / "model",
        "--prompt",
        cases.parent / case["prompt"],
        "--project",
        out / "project",
    )
    compare(out, untrained, before, Scan(volume, boxes))


def compare(out: Path, untrained: SamSegmentor, before: NDArray[np.float32], scan: Scan) -> None:
    """Print how far the trained model's plain logits are from those before, and from the package's own."""
    made = load_model(out / "model").segmentor
    assert isinstance(made, SamSegmentor)
    boxes = scan.boxes or ()
    after = made.segment(scan, pick("cpu"))
    shared = [v for v in untrained.values if v in made.values]
    first, second = ([1 + x.values.index(v) for v in shared] for x in (untrained, made))
    worst = max(_difference(made, scan.volume, z, boxes) for z in sorted({b.z for b in boxes}))
    print(f"- {len(boxes)} boxes, largest difference of a logit before and after training:", end=" ")
    print(f"{np.abs(before[first] - after[second]).max():.1e}, from the package's own: {worst:.1e}")
    print(f"- embeddings kept: {sum(1 for _ in (out / 'embeddings').rglob('*.npy'))}")


def _difference(made: SamSegmentor, volume: Volume, z: int, boxes: Sequence[SliceBox]) -> float:
    """Largest difference of a logit from those of the package alone, over the boxes of a slice."""
    predictor = SamPredictor(made.sam)
    predictor.set_image(np.repeat(gray(volume.array[z], WINDOW)[..., None], 3, axis=2))
    here = [b for b in boxes if b.z == z]
    (asked,) = made.slices(Scan(volume, tuple(here)), pick("cpu"))
    own = asked.frame.back(made.sam, made.low_logits(asked, pick("cpu")))[:, 0].numpy()
    worst = 0.0
    for box, mine in zip(here, own, strict=True):
        corners = np.array([box.columns[0], box.rows[0], box.columns[1] - 1, box.rows[1] - 1])
        theirs = predictor.predict(box=corners, multimask_output=False, return_logits=True)[0][0]
        worst = max(worst, float(np.abs(mine - theirs).max()))
    return worst


def fast(out: Path, ct: Path, first: Path, slices: int) -> None:
    volume, mask = read_volume(ct), read_labels(first)
    middle = len(volume.array) // 2
    boxes = tuple(b for b in boxes_of(mask.array) if middle <= b.z < middle + slices)
    table = mask.table.completed(np.unique(mask.array)[1:].tolist())
    device = pick("auto")
    took, masks = {}, {}
    for path in ("plain", "fast"):
        os.environ[FOLDER] = str(out / f"fresh-{path}-{time.time_ns()}")
        made = segmentor(out, path, table)
        made.network.to(device)
        made.segment(Scan(volume, boxes_of(mask.array)[:1]), device)  # warm, on another slice
        begun = time.perf_counter()
        asked = list(made.slices(Scan(volume, boxes), device))
        encoded = time.perf_counter()
        masks[path] = [m for x in asked for m in _masks(made, x, device)]
        took[path] = (encoded - begun, time.perf_counter() - encoded)
    count = len({b.z for b in boxes})
    print(f"{count} slices, {len(boxes)} boxes\n\n| path | s a slice: encoder | decoder | both |\n|---|---|---|---|")
    for path, (encoder, decoder) in took.items():
        print(f"| {path} | {encoder / count:.2f} | {decoder / count:.2f} | {(encoder + decoder) / count:.2f} |")
    dice = [2 * (a & b).sum() / max(a.sum() + b.sum(), 1) for a, b in zip(*masks.values(), strict=True)]
    ratio = sum(took["plain"]) / sum(took["fast"])
    print(f"\nfast against plain: {ratio:.2f} times (encoder {took['plain'][0] / took['fast'][0]:.2f})")
    print(f"Dice of the masks of a box: mean {np.mean(dice):.5f}, smallest {np.min(dice):.5f}")
    for kind in (torch.float32, torch.bfloat16):
        print(f"matrix product on {device}, {kind}: {_rate(device, kind):.2f} TFLOP/s")


def _masks(made: SamSegmentor, asked: SamSlice, device: torch.device) -> list[np.ndarray]:
    found = asked.frame.back(made.sam, made.low_logits(asked, device))[:, 0] > 0
    return list(found.cpu().numpy())


def _rate(device: torch.device, kind: torch.dtype, size: int = 2048) -> float:
    a = torch.randn(size, size, device=device).to(kind)
    for _ in range(3):
        a @ a
    begun = time.perf_counter()
    for _ in range(10):
        b = a @ a
    float(b[0, 0])
    return 10 * 2 * size**3 / (time.perf_counter() - begun) / 1e12


def memory(out: Path, slices: int) -> None:
    os.environ[FOLDER] = str(out / "embeddings-large")
    array = np.random.default_rng(0).integers(-1000, 1000, (300, 512, 512), np.int16)
    volume = Volume(array, Geometry(shape=array.shape, spacing=(0.8, 0.8, 1.0)), "made")
    boxes = tuple(SliceBox(1, z, (100, 300), (120, 400)) for z in range(slices))
    made = segmentor(out, "fast", table_from_names({1: "organ"}))
    begun = time.perf_counter()
    told = [begun]

    def tell(share: float, doing: str) -> None:
        if time.perf_counter() - told[0] > 30:
            told[0] = time.perf_counter()
            print(doing, f"{_peak():.2f} GiB", file=sys.stderr)

    made.segment(Scan(volume, boxes), pick("auto"), tell)
    size = sum(f.stat().st_size for f in (out / "embeddings-large").rglob("*.npy")) / 1e9
    seconds = time.perf_counter() - begun
    print(f"512 x 512 x 300, {slices} slices asked about: peak {_peak():.2f} GiB, {seconds:.0f} s")
    print(f"{size:.2f} GB of embeddings")


def _peak() -> float:
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * 1024 / 2**30


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("what", choices=("loop", "fast", "memory"))
    parser.add_argument("--out", type=Path, required=True)
    parser.add_argument("--data", type=Path, nargs=3, metavar=("CT", "MASK_A", "MASK_B"))
    parser.add_argument("--slices", type=int)
    asked = parser.parse_args()
    asked.out.mkdir(parents=True, exist_ok=True)
    if asked.what == "memory":
        memory(asked.out, asked.slices or 300)
    elif asked.what == "fast":
        fast(asked.out, *asked.data[:2], asked.slices or 5)
    else:
        loop(asked.out, *asked.data)


if __name__ == "__main__":
    main()
