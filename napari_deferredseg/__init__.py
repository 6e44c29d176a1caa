"""Find where an AI segmentation should not be trusted, route it to named experts, keep what they correct.

A first look from Python, with generated data and the model that comes with the product:

>>> import napari_deferredseg as ds
>>> report = ds.make_demo("demo")  # a scan, two masks of it, a project with three readers
>>> model = ds.load_model("abdomen-phantom")  # a name, or a folder of your own
>>> prediction = model.predict("demo/phantom.mha")  # mask, deferral map, what each expert would add
>>> proposal = ds.propose_regions(prediction, "10 minutes")
>>> print(proposal.account)
the deferral map reaches 0.2, the least that is read, in ...; the regions cover ...

The AI ran elsewhere: compare its masks, or keep the run in a project, whose readers get the regions.

>>> doubt = ds.compare_masks("demo/phantom.mha", "demo/ai_first.mha", "demo/ai_second.mha")
>>> [exported] = ds.export_labels("demo", "corrected")
>>> exported.corrections
0

Every function does what the command of its name does. What cannot be done is a `DeferredSegError` with one line that
says what, where and what to do: an `InputError` where something given cannot be used. Nothing is loaded before the
first of these names is used.
"""

from typing import TYPE_CHECKING

from napari_deferredseg.core.version import __version__

if TYPE_CHECKING:
    from napari_deferredseg.api import (
        DeferredSegError,
        Engine,
        InputError,
        compare_masks,
        evaluate_model,
        export_labels,
        init_project,
        list_models,
        load_model,
        make_demo,
        open_project,
        propose_regions,
        read_labels,
        read_volume,
        run_external,
        run_model,
        train_model,
    )

__all__ = [
    "DeferredSegError",
    "Engine",
    "InputError",
    "__version__",
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

if not TYPE_CHECKING:  # mypy would take any name for one of ours

    def __getattr__(name: str) -> object:
        if name not in __all__:
            raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
        from napari_deferredseg import api

        return globals().setdefault(name, getattr(api, name))


def __dir__() -> list[str]:
    return sorted({*globals(), *__all__})
