"""Settings of a person: what is kept is found again, what cannot be used is told and stays on the disk."""

from __future__ import annotations

import json
import shutil

import pytest
from hypothesis import HealthCheck, given
from hypothesis import settings as how
from hypothesis import strategies as st

from napari_deferredseg.core.errors import InputError
from napari_deferredseg.usecases.running.models import list_models
from napari_deferredseg.usecases.settings import (
    OUTLINES,
    Settings,
    check_settings,
    read_settings,
    save_settings,
    settings_file,
)


@pytest.fixture(autouse=True)
def _mine(tmp_path, monkeypatch):
    monkeypatch.setenv("DEFERREDSEG_CONFIG", str(tmp_path / "mine"))


def _write(text: str) -> None:
    settings_file().parent.mkdir(parents=True, exist_ok=True)
    settings_file().write_text(text, encoding="utf-8")


def test_without_a_file_there_are_the_defaults_and_nothing_is_told():
    told: list[str] = []
    assert read_settings(told.append) == Settings()
    assert not told
    assert not settings_file().exists()


budgets = st.one_of(
    st.integers(1, 100).map("{}%".format),
    st.integers(1, 100).map("{}% of voxels".format),
    st.integers(1, 900).map("{} minutes".format),
    st.integers(1, 900).map("{} regions".format),
)
numbers = st.floats(-1e6, 1e6)
names = st.text(st.characters(codec="utf-8", categories=("L", "N", "P")), min_size=1, max_size=20)
windows = st.dictionaries(
    names.filter(lambda name: name not in ("MR", "full range")), st.tuples(numbers, st.floats(1e-3, 1e6))
)
colors = st.lists(st.integers(0, 0xFFFFFF).map("#{:06x}".format), min_size=1, max_size=9)


@how(suppress_health_check=[HealthCheck.function_scoped_fixture], deadline=None, max_examples=30)
@given(budgets, windows, colors, st.booleans())
def test_what_is_kept_is_found_again(tmp_path, budget, presets, outlines, with_folder):
    folders = {"models": str(tmp_path / "models")} if with_folder else {}
    wanted = check_settings({"budget": budget, "windows": presets, "outlines": outlines, **folders})
    assert save_settings(wanted) == settings_file()
    assert read_settings(pytest.fail) == wanted
    assert wanted.default_budget().amount > 0


@pytest.mark.parametrize(
    ("text", "says"),
    [
        ("", "settings"),
        ("{", "settings"),
        ("[1]", "settings"),
        ('{"budget": "130%"}', "budget"),
        ('{"budget": "ten"}', "budget"),
        ('{"buget": "10%"}', "buget"),
        ('{"windows": {"bone": [40, 0]}}', "width of 'bone': write a number such as 40.5"),
        ('{"windows": {"CT x": ["40,5", 10]}}', "level of 'CT x': write a number such as 40.5"),
        ('{"windows": {"bone": [1e300, 10]}}', "level of 'bone'"),
        ('{"windows": {"bone": [0, 1e308]}}', "width of 'bone'"),
        ('{"windows": {" x": [40, 10]}}', "name of the window ' x'"),
        ('{"windows": {"Window ...": [40, 10]}}', "Window ..."),
        ('{"windows": {"Full Range": [40, 10]}}', "Full Range"),
        ('{"windows": {"MR": [40, 10]}}', "MR"),
        ('{"windows": {"bone": [40, NaN]}}', "settings"),
        ('{"outlines": []}', "outlines"),
        ('{"outlines": ["red"]}', "colour 1 of the outlines"),
        ('{"models": "models"}', "full path"),
    ],
)
def test_a_file_that_cannot_be_used_is_told_in_a_line_and_never_lost(text, says):
    _write(text)
    told: list[str] = []
    assert read_settings(told.append) == Settings()
    (line,) = told
    assert says in line
    assert str(settings_file()) in line
    assert "\n" not in line
    assert settings_file().read_text(encoding="utf-8") == text

    save_settings(check_settings({"budget": "3%"}))
    assert read_settings(pytest.fail).budget == "3%"
    others = [p for p in settings_file().parent.iterdir() if p != settings_file()]
    assert [p.read_text(encoding="utf-8") for p in others] == [text]


def test_every_damaged_file_is_kept():
    for text in ("one", "two"):
        _write(text)
        save_settings(Settings())
    kept = {p.read_text(encoding="utf-8") for p in settings_file().parent.glob("*damaged*")}
    assert kept == {"one", "two"}


def test_only_what_differs_is_kept_so_that_later_defaults_arrive():
    save_settings(check_settings({"budget": "20 regions", "outlines": list(OUTLINES)}))
    assert json.loads(settings_file().read_text(encoding="utf-8")) == {"budget": "20 regions"}


def test_where_nothing_can_be_written_a_line_says_so(tmp_path, monkeypatch):
    (tmp_path / "file").write_text("")
    monkeypatch.setenv("DEFERREDSEG_CONFIG", str(tmp_path / "file" / "mine"))
    with pytest.raises(InputError, match="settings cannot be kept"):
        save_settings(Settings())


def test_models_of_the_folder_in_the_settings_are_offered(tmp_path):
    (shipped,) = list_models()
    shutil.copytree(shipped.folder, tmp_path / "models" / "one")
    save_settings(check_settings({"models": str(tmp_path / "models")}))
    assert [model.folder for model in list_models()] == [tmp_path / "models" / "one", shipped.folder]
    save_settings(check_settings({"models": str(tmp_path / "gone")}))
    assert list_models() == [shipped]
