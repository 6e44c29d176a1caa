"""Code of others that a model may run: only what somebody allowed on this computer."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING

from platformdirs import user_config_path

from napari_deferredseg.core.errors import Damaged, InputError, NotAllowed

if TYPE_CHECKING:
    from pathlib import Path

    from napari_deferredseg.deferral.data.segmentor_settings import ModuleConfig


def call_of(segmentor: ModuleConfig) -> str:
    """Write the call that makes a network, as one line: the factory and all that it is given."""
    return f"{segmentor.factory} {json.dumps(segmentor.arguments, sort_keys=True)}"


def trusted() -> tuple[str, ...]:
    """Calls that were allowed on this computer.

    Raises
    ------
    InputError
        The list of them is damaged.
    """
    path = _file()
    try:
        content = json.loads(path.read_text(encoding="utf-8"))
    except FileNotFoundError:
        return ()
    except (OSError, ValueError):
        content = None
    if not isinstance(content, list) or not all(isinstance(x, str) for x in content):
        raise Damaged(f"{path}: the list of what models may run is damaged; correct it, or delete it to allow nothing")
    return tuple(content)


def trust(call: str) -> None:
    """Allow models this call on this computer, from now on. InputError as `trusted`, or when it cannot be written."""
    _write({*trusted(), call})


def distrust(call: str) -> None:
    """Allow a call no longer. InputError as `trust`."""
    _write(set(trusted()) - {call})


def require_trusted(segmentor: ModuleConfig, folder: Path) -> None:
    """Check that a model may make its network.

    Raises
    ------
    InputError
        Nobody allowed that here.
    """
    if call_of(segmentor) not in trusted():
        raise NotAllowed(
            f"{folder}: this model runs code of another package, {call_of(segmentor)}: if you trust that, allow it on "
            f"this computer with deferredseg model trust {folder}"
        )


def _write(calls: set[str]) -> None:
    path = _file()
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        unfinished = path.with_suffix(".part")
        unfinished.write_text(json.dumps(sorted(calls), indent=1), encoding="utf-8")
        unfinished.replace(path)
    except OSError as error:
        raise InputError(f"{path}: cannot be written ({error.strerror or error}); make room or get access") from None


def _file() -> Path:
    return user_config_path("napari-deferredseg", appauthor=False) / "trusted.json"
