"""Find where an AI segmentation should not be trusted, route it to named experts, keep what they correct."""

from napari_deferredseg.core.version import __version__ as __version__
