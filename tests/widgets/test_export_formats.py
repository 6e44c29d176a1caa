"""*Export labels*: each format shows its own options and writes with them."""

from __future__ import annotations

import json

from napari_deferredseg.io.datalist import read_datalist

WAIT = 20_000


def test_the_options_belong_to_the_format(open_seat, qtbot, scene, tmp_path):
    _, panels = open_seat()
    panel = panels["export"]
    panel.seat.session.set_project(scene.open())

    def export(folder: str) -> None:
        panel.folder.value = tmp_path / folder
        panel.result.clear()
        panel.export_button.click()

    shown = {name: field for group in panel.options.values() for name, field in group.items()}
    for form, names in (("nifti", set()), ("nnunet", {"dataset", "name", "ignore_unreviewed"}), ("monai", {"test"})):
        panel.form.value = form
        visible = {name for name, field in shown.items() if not field.native.isHidden()}
        assert names <= visible
        assert ("dataset" in visible) == (form == "nnunet")

    panel.form.value = "nnunet"
    panel.options["nnunet"]["dataset"].value = 42
    panel.options["nnunet"]["name"].value = "Liver"
    export("raw")
    qtbot.waitUntil(lambda: "Masks written: 1;" in panel.result.text(), timeout=WAIT)
    assert "there the AI's mask was written" in panel.result.text()
    described = json.loads((tmp_path / "raw" / "Dataset042_Liver" / "dataset.json").read_text("utf-8"))
    assert described["labels"] == {"background": 0, "liver": 1, "spleen": 2}

    panel.options["nnunet"]["ignore_unreviewed"].value = True
    export("raw")
    qtbot.waitUntil(lambda: "no reader has reviewed" in panel.notice.text(), timeout=WAIT)

    panel.form.value = "monai"
    export("list")
    qtbot.waitUntil(lambda: "Masks written: 1;" in panel.result.text(), timeout=WAIT)
    assert len(read_datalist(tmp_path / "list" / "cases.json").training) == 1
