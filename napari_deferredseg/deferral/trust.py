"""Code of others that a model may run: only what somebody allowed on this computer."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING

from platformdirs import user_config_path

from napari_deferredseg.core.errors import InputError

if TYPE_CHECKING:
    from pathlib import Path


def trusted() -> tuple[str, ...]:
    """Names "package.module:name" that were allowed here."""
    try:
        content = json.loads(_file().read_text(encoding="utf-8"))
    except (OSError, ValueError):
        return ()
    return tuple(x for x in content if isinstance(x, str)) if isinstance(content, list) else ()


def trust(factory: str) -> None:
    """Allow models to run a factory of networks on this computer, from now on.

    Raises
    ------
    InputError
        The settings of this user cannot be written.
    """
    path = _file()
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(json.dumps(sorted({*trusted(), factory}), indent=1), encoding="utf-8")
    except OSError as error:
        raise InputError(f"{path}: cannot be written ({error.strerror or error}); make room or get access") from None


def require_trusted(factory: str, what: str) -> None:
    """Check that a factory may run.

    Raises
    ------
    InputError
        Nobody allowed it here; `what` names what wants to run it.
    """
    if factory not in trusted():
        raise InputError(
            f"{what} runs code of another package, {factory}: if you trust it, allow it once on this computer with "
            f"deferredseg model trust {factory}"
        )


def _file() -> Path:
    return user_config_path("napari-deferredseg", appauthor=False) / "trusted.json"
