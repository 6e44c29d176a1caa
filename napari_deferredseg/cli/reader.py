"""`deferredseg reader ...`."""

from __future__ import annotations

from datetime import datetime
from enum import StrEnum
from typing import TYPE_CHECKING, Annotated, Any

import typer
from rich.table import Table

from napari_deferredseg.cli.console import AsOption, ProjectOption, acting, note, opened, out, show_table
from napari_deferredseg.core.errors import InputError

if TYPE_CHECKING:
    from napari_deferredseg.usecases.project import Project

app = typer.Typer(help="Add, change and list readers.", no_args_is_help=True)


class RoleChoice(StrEnum):
    """Roles as the command line offers them."""

    READER = "reader"
    LEAD = "lead"
    ADMIN = "admin"


LoginArgument = Annotated[str, typer.Argument(help="Login or name of the reader.", metavar="LOGIN")]
DAY = ["%Y-%m-%d"]


@app.callback()
def _group() -> None:
    """Add, change and list readers."""


@app.command("add")
def add(
    name: Annotated[str, typer.Argument(help="Display name, such as 'Ada Moreau'; the login is made from it.")],
    project: ProjectOption,
    capacity: Annotated[
        float | None,
        typer.Option(
            min=0, max=1440, help="Minutes of reading a day, 60 by default, for an admin 0: nothing is routed to them."
        ),
    ] = None,
    speciality: Annotated[
        list[str] | None, typer.Option(help="Label that this reader knows best; repeat for more. None: a generalist.")
    ] = None,
    role: Annotated[RoleChoice, typer.Option(help="What the reader may do.")] = RoleChoice.READER,
    group: Annotated[list[str] | None, typer.Option(help="Group whose regions the reader may claim; repeat.")] = None,
    login: Annotated[str | None, typer.Option(help="Login, where the one made from the name does not suit.")] = None,
    by: AsOption = None,
) -> None:
    """Add a reader to a project."""
    from napari_deferredseg.core.records import Role
    from napari_deferredseg.usecases import permissions, readers

    profile = readers.Profile(name, login or "", capacity, tuple(speciality or ()), Role(role), tuple(group or ()))
    with opened(project) as open_project:
        free = permissions.open_to_all(open_project)
        reader = readers.add(open_project, profile, acting(open_project, by))
        still_free = permissions.open_to_all(open_project)
    out.print(f"Added {reader.name} (login {reader.login}, {reader.capacity:g} min a day)")
    if reader.role != profile.role:
        note(f"{reader.login} made this project and stays its {reader.role}")
    if still_free:
        note(still_free)
    if free and not still_free:
        note(f"{reader.login} is the project's admin: from now on everybody may do what their role allows")


@app.command("edit")
def edit(
    login: LoginArgument,
    project: ProjectOption,
    name: Annotated[str | None, typer.Option(help="Other display name; the login stays.")] = None,
    capacity: Annotated[
        float | None, typer.Option(min=0, max=1440, help="Minutes of reading a day; 0: nothing is routed to them.")
    ] = None,
    speciality: Annotated[
        list[str] | None, typer.Option(help="Label that this reader knows best, in place of those before; repeat.")
    ] = None,
    generalist: Annotated[bool, typer.Option("--generalist", help="No speciality any more.")] = False,
    role: Annotated[RoleChoice | None, typer.Option(help="What the reader may do.")] = None,
    group: Annotated[list[str] | None, typer.Option(help="Group, in place of those before; repeat.")] = None,
    no_group: Annotated[bool, typer.Option("--no-group", help="In no group any more.")] = False,
    by: AsOption = None,
) -> None:
    """Change what is kept of a reader."""
    from napari_deferredseg.core.records import Role
    from napari_deferredseg.usecases import readers

    if (speciality and generalist) or (group and no_group):
        raise InputError("--speciality and --generalist, --group and --no-group exclude each other: give one of both")
    given: dict[str, Any] = {
        "name": name,
        "capacity": capacity,
        "specialities": () if generalist else tuple(speciality) if speciality else None,
        "role": None if role is None else Role(role),
        "groups": () if no_group else tuple(group) if group else None,
    }
    changes = {key: value for key, value in given.items() if value is not None}
    if not changes:
        raise InputError("nothing to change is given: see deferredseg reader edit --help")
    with opened(project) as open_project:
        _tell_who_may(open_project)
        reader = readers.edit(open_project, login, changes, acting(open_project, by))
    out.print(f"Changed {reader.name} (login {reader.login}): {', '.join(changes)}")


@app.command("absence")
def absence(
    login: LoginArgument,
    project: ProjectOption,
    first: Annotated[
        datetime | None, typer.Option("--from", formats=DAY, help="First day of the absence, such as 2031-08-01.")
    ] = None,
    last: Annotated[datetime | None, typer.Option("--to", formats=DAY, help="Last day of the absence.")] = None,
    none: Annotated[bool, typer.Option("--none", help="Not absent, whatever was said before.")] = False,
    by: AsOption = None,
) -> None:
    """Say when a reader is absent: nothing is routed to them on these days. What they have stays theirs."""
    from napari_deferredseg.usecases import readers

    if none == (first is not None or last is not None):
        raise InputError("give the first and the last day, --from and --to, or --none")
    days = [None if day is None else day.date() for day in (first, last)]
    with opened(project) as open_project:
        _tell_who_may(open_project)
        reader = readers.set_absence(open_project, login, days[0], days[1], acting(open_project, by))
    when = "not absent" if none else f"absent from {reader.absent_from} to {reader.absent_to}"
    out.print(f"{reader.name} (login {reader.login}) is {when}")


@app.command("deactivate")
def deactivate(login: LoginArgument, project: ProjectOption, by: AsOption = None) -> None:
    """End a reader's part: nothing new goes to them, what they read now is released. What they submitted stays."""
    from napari_deferredseg.usecases import readers

    with opened(project) as open_project:
        _tell_who_may(open_project)
        reader, waiting = readers.deactivate(open_project, login, acting(open_project, by))
    out.print(f"Deactivated {reader.name} (login {reader.login}); what they submitted stays")
    if waiting:
        note(f"{waiting:.0f} min of reading wait for {reader.login}: send them to others in Defer to expert")


@app.command("activate")
def activate(login: LoginArgument, project: ProjectOption, by: AsOption = None) -> None:
    """Take in again a reader who was deactivated."""
    from napari_deferredseg.usecases import readers

    with opened(project) as open_project:
        _tell_who_may(open_project)
        reader = readers.activate(open_project, login, acting(open_project, by))
    out.print(f"{reader.name} (login {reader.login}) is active again")


@app.command("list")
def list_readers(project: ProjectOption) -> None:
    """List the readers of a project."""
    from napari_deferredseg.usecases.readers import standing_of

    with opened(project) as open_project:
        readers = open_project.store.readers()
    away = ["away"] if any(standing_of(x) for x in readers) else []
    table = Table("login", "name", "min a day", "specialities", "role", "groups", *away, box=None)
    for x in readers:
        row = (x.login, x.name, f"{x.capacity:g}", ", ".join(x.specialities) or "-", x.role, ", ".join(x.groups) or "-")
        table.add_row(*row, *(standing_of(x) or "-" for _ in away))
    if readers:
        show_table(table)
    else:
        out.print("No readers yet.")


def _tell_who_may(project: Project) -> None:
    from napari_deferredseg.usecases.permissions import open_to_all

    if sentence := open_to_all(project):
        note(sentence)
