"""What `import napari_deferredseg` offers: each function does what the command of its name does.

Paths are `str` or `os.PathLike`, a leading `~` is the home folder. `progress(share, doing)` is called with the share
done, 0 to 1, and a few words; it may raise to cancel. What was decided in reading files is in the `notes` of what
comes back, in a run's `cautions`, or, where a table or a folder comes back, a warning.
"""

from napari_deferredseg.api.images import compare_masks, propose_regions, read_labels, read_volume
from napari_deferredseg.api.learning import evaluate_model, train_model
from napari_deferredseg.api.model import list_models, load_model
from napari_deferredseg.api.projects import export_labels, init_project, make_demo, open_project
from napari_deferredseg.api.running import run_external, run_model
from napari_deferredseg.core.errors import DeferredSegError, InputError
from napari_deferredseg.engine import Engine

__all__ = [
    "DeferredSegError",
    "Engine",
    "InputError",
    "compare_masks",
    "evaluate_model",
    "export_labels",
    "init_project",
    "list_models",
    "load_model",
    "make_demo",
    "open_project",
    "propose_regions",
    "read_labels",
    "read_volume",
    "run_external",
    "run_model",
    "train_model",
]
