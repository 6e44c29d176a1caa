"""`deferredseg reader ...`."""

from __future__ import annotations

import re
import unicodedata
from enum import StrEnum
from typing import Annotated

import typer
from rich.table import Table

from napari_deferredseg.cli.console import ProjectOption, opened, out, show_table
from napari_deferredseg.core.errors import InputError
from napari_deferredseg.core.names import LONGEST, shortened

app = typer.Typer(help="Add and list readers.", no_args_is_help=True)


SPELLED = str.maketrans(
    {"ß": "ss", "æ": "ae", "œ": "oe", "ø": "o", "ł": "l", "đ": "d", "ð": "d", "þ": "th", "ı": "i", "ħ": "h"}
)
"""Letters that Unicode does not take apart."""


class RoleChoice(StrEnum):
    """Roles as the command line offers them."""

    READER = "reader"
    LEAD = "lead"
    ADMIN = "admin"


@app.callback()
def _group() -> None:
    """Add and list readers."""


@app.command("add")
def add(
    name: Annotated[str, typer.Argument(help="Display name, such as 'Ada Moreau'; the login is made from it.")],
    project: ProjectOption,
    capacity: Annotated[float, typer.Option(min=1, max=1440, help="Minutes of reading a day.")] = 60,
    speciality: Annotated[
        list[str] | None, typer.Option(help="Label that this reader knows best; repeat for more. None: a generalist.")
    ] = None,
    role: Annotated[RoleChoice, typer.Option(help="What the reader may do.")] = RoleChoice.READER,
    group: Annotated[list[str] | None, typer.Option(help="Group whose regions the reader may claim; repeat.")] = None,
    login: Annotated[str | None, typer.Option(help="Login, where the one made from the name does not suit.")] = None,
) -> None:
    """Add a reader to a project."""
    from pydantic import ValidationError

    from napari_deferredseg.core.records import Reader, Role

    for text in (name, *(speciality or ()), *(group or ())):
        if len(text) > LONGEST:
            raise InputError(f"{shortened(text)!r} has {len(text)} characters: {LONGEST} are the most for a name")
    try:
        reader = Reader(
            login=login or login_from(name),
            name=name,
            capacity=capacity,
            specialities=tuple(speciality or ()),
            role=Role(role),
            groups=tuple(group or ()),
        )
    except ValidationError as error:
        raise InputError(error.errors()[0]["msg"].removeprefix("Value error, ")) from None
    with opened(project) as open_project:
        open_project.store.add_reader(reader)
    out.print(f"Added {reader.name} (login {reader.login}, {reader.capacity:g} min a day)")


@app.command("list")
def list_readers(project: ProjectOption) -> None:
    """List the readers of a project."""
    with opened(project) as open_project:
        readers = open_project.store.readers()
    table = Table("login", "name", "min a day", "specialities", "role", "groups", box=None)
    for x in readers:
        row = (x.login, x.name, f"{x.capacity:g}", ", ".join(x.specialities) or "-", x.role, ", ".join(x.groups) or "-")
        table.add_row(*row)
    if readers:
        show_table(table)
    else:
        out.print("No readers yet.")


def login_from(name: str) -> str:
    """Make a login of a display name: lower case, plain letters, dots for gaps.

    Raises
    ------
    InputError
        Nothing is left of it.
    """
    spelled = name.lower().translate(SPELLED)
    plain = unicodedata.normalize("NFKD", spelled).encode("ascii", "ignore").decode()
    login = re.sub(r"[^a-z0-9_-]+", ".", plain).strip("._-")[:40]
    if not login:
        raise InputError(f"no login can be made from {name!r}: give one with --login")
    return login
