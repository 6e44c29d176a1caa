"""What is used of nnU-Net, imported only where it is needed."""

from __future__ import annotations

import io
from contextlib import redirect_stdout
from typing import Any, NamedTuple

from napari_deferredseg.core.errors import MissingExtra
from napari_deferredseg.deferral.networks.builders import first_line


class NnunetLibrary(NamedTuple):
    """What is used of nnU-Net."""

    predictor: Any
    preprocessor: Any
    plans_manager: Any
    configuration_manager: Any
    network_from_plans: Any


def nnunet_library() -> NnunetLibrary:
    """Import nnU-Net, without what it prints.

    Raises
    ------
    InputError
        It is not installed; the line names the command that installs it.
    """
    try:
        with redirect_stdout(io.StringIO()):
            from nnunetv2.inference.predict_from_raw_data import nnUNetPredictor
            from nnunetv2.preprocessing.preprocessors.default_preprocessor import DefaultPreprocessor
            from nnunetv2.utilities.get_network_from_plans import get_network_from_plans
            from nnunetv2.utilities.plans_handling.plans_handler import ConfigurationManager, PlansManager
    except ImportError as error:
        raise MissingExtra(
            f"a segmentor of kind nnunet needs nnU-Net ({first_line(error)}): install it with: "
            'pip install "napari-deferredseg[nnunet]"'
        ) from error
    return NnunetLibrary(
        nnUNetPredictor, DefaultPreprocessor, PlansManager, ConfigurationManager, get_network_from_plans
    )
