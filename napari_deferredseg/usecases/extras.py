"""Parts of the product that a reader's PC does not need, and how to get them."""

from __future__ import annotations

from importlib.util import find_spec

from napari_deferredseg.core.errors import MissingExtra

MODEL = ("torch", "monai", "lightning", "safetensors", "matplotlib", "tensorboard")


def require_model() -> None:
    """Check that the extra `model` is installed.

    Raises
    ------
    MissingExtra
        It is not; the line names the command that installs it.
    """
    missing = [name for name in MODEL if find_spec(name) is None]
    if missing:
        raise MissingExtra(
            f'deferral models need {", ".join(missing)}: install them with: pip install "napari-deferredseg[model]"'
        )
