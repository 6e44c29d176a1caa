"""Names of jobs: only functions of allowed packages run in the worker."""

from __future__ import annotations

import sys
from collections.abc import Callable, Sequence
from importlib import import_module
from inspect import isfunction
from typing import Any

Job = Callable[..., Any]


def job_name(job: Job, packages: Sequence[str]) -> str:
    """Name "module:function" of a job for the worker. ValueError when it would not find the job by that, or may not."""
    name = f"{job.__module__}:{getattr(job, '__qualname__', '?')}"
    module, function = _parts(name, packages)
    if getattr(sys.modules.get(module), function, None) is not job:
        raise ValueError(f"the job {name} is not the function that its module has by that name")
    return name


def find_job(name: str, packages: Sequence[str]) -> Job:
    """Function of that name. ValueError when it may not run, or there is none."""
    module, function = _parts(name, packages)
    job = getattr(import_module(module), function, None)
    if not isfunction(job) or not _allowed(job.__module__, packages):
        raise ValueError(f"there is no job {name}")
    return job


def _parts(name: str, packages: Sequence[str]) -> tuple[str, str]:
    module, _, function = name.partition(":")
    if not function.isidentifier():
        raise ValueError(f"the job {name} is not a function at the top of a module")
    if not _allowed(module, packages):
        raise ValueError(f"the job {name} is not in {' or '.join(packages)}")
    return module, function


def _allowed(module: str, packages: Sequence[str]) -> bool:
    return any(module == package or module.startswith(f"{package}.") for package in packages)
