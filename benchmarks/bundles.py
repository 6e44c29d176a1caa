"""Which bundles of a folder, such as MONAI's model zoo, are read as they are; the line that refuses each other one.

    python benchmarks/bundles.py model-zoo/models

Weights are not needed. Each bundle whose task is a segmentation is tried as `kind = "bundle"` with nothing else
written, and its network is built, without weights.
"""

from __future__ import annotations

import json
import sys
from pathlib import Path
from typing import Any

from napari_deferredseg.core.errors import InputError
from napari_deferredseg.deferral.data.segmentor_settings import BundleConfig
from napari_deferredseg.deferral.segmentors.bundle.segmentor import completed, make_network


def segmentations(folder: Path) -> list[Path]:
    """Bundles that say they put out a segmentation, or labels of voxels."""
    found = []
    for path in sorted(folder.glob("*/configs/metadata.json")):
        outputs = (json.loads(path.read_text("utf-8")).get("network_data_format") or {}).get("outputs", {})
        if any(_segments(x) for x in outputs.values() if isinstance(x, dict)):
            found.append(path.parents[1])
    return found


def _segments(output: dict[str, Any]) -> bool:
    voxels = len(output.get("spatial_shape", ())) == 3
    return output.get("format") == "segmentation" or (output.get("format") == "labels" and voxels)


def tried(bundle: Path) -> str:
    """Empty when it reads through, else the line that refuses it."""
    try:
        make_network(completed(BundleConfig(kind="bundle", bundle=bundle)))
    except InputError as error:
        return str(error).replace(f"{bundle}: ", "")
    return ""


def main() -> None:
    bundles = segmentations(Path(sys.argv[1]))
    lines = [tried(bundle) for bundle in bundles]
    for bundle, line in zip(bundles, lines, strict=True):
        print(f"{bundle.name:42} {line or 'reads as it is'}")
    print(f"{lines.count('')} of {len(lines)} read as they are")


if __name__ == "__main__":
    main()
