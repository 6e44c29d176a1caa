"""What a terminal prints of data is text: no markup of rich, no codes that a terminal obeys."""

from __future__ import annotations

import shutil

import pytest
from rich.table import Table

from napari_deferredseg.cli.console import PlainConsole, show_table
from napari_deferredseg.core.volume import LabelTable, default_label
from napari_deferredseg.io.labels.tables import write_table

MARKED = "[bold red]liver[/] :smile: <b>x</b>"
OBEYED = "a\x1b[2J\x1b]8;;http://x\x07\u202eb"


@pytest.mark.parametrize("text", [MARKED, "[/]", "[link=http://x]y"])
def test_markup_in_names_and_files_is_text(type_in, unread, tmp_path, text):
    name = text.replace("/", "-")
    ct = tmp_path / f"{name}.nii.gz"
    shutil.copy(unread.volume, ct)
    for mask in (unread.first, unread.second):
        table = LabelTable(labels=(default_label(1, f"{text} one"), default_label(2, text)))
        write_table(mask.with_name(f"{mask.name.removesuffix('.nii.gz')}.labels.csv"), table)
    knows = ("--speciality", f"{text} none", "--speciality", f"{text} one", "--speciality", text)
    type_in("reader", "add", text, "--login", "x", *knows, "-p", unread.folder)
    said = type_in("run", ct, "-p", unread.folder, "--labels", unread.first, "--labels", unread.second)
    assert said.code == 0, said.err
    assert f"No label here is called {text} none" in said.err
    assert text in type_in("reader", "list", "-p", unread.folder).out
    assert text in type_in("worklist", "--reader", "x", "-p", unread.folder).out
    said = type_in("run", tmp_path / f"{name}-none.nii.gz", "-p", unread.folder, "--labels", unread.first)
    assert said.code == 1
    said = type_in(
        "run", ct, "-p", unread.folder, "--labels", tmp_path / f"{name}-none.nii.gz", "--labels", unread.first
    )
    assert f"{name}-none.nii.gz: there is no such file" in said.err


def test_nothing_printed_is_obeyed_by_a_terminal(capsys):
    console = PlainConsole()
    console.print(OBEYED)
    table = Table("name", box=None)
    table.add_row(OBEYED)
    console.print(table)
    show_table(table)
    said = capsys.readouterr().out
    assert said.count("\\x1b[2J") == 3
    assert all(c.isprintable() or c == "\n" for c in said)
