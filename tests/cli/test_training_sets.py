"""Data sets to train with: nnU-Net's raw layout and a MONAI data list, from real images and the oblique scene."""

from __future__ import annotations

import json
import subprocess
import sys
from typing import TYPE_CHECKING

import numpy as np
import pytest
import SimpleITK as sitk
from hypothesis import given, settings
from hypothesis import strategies as st

from napari_deferredseg.core.boxes import slices
from napari_deferredseg.core.budget import Budget
from napari_deferredseg.core.errors import InputError
from napari_deferredseg.core.records import Reader, Verdict
from napari_deferredseg.core.volume import Volume, table_from_names
from napari_deferredseg.export.classes import class_names, number_classes, renumbered
from napari_deferredseg.export.monai import split_patients
from napari_deferredseg.io.datalist import read_datalist
from napari_deferredseg.io.images import read_labels, read_volume, write_labels, write_volume
from napari_deferredseg.usecases.export import export_cases, make_exporter
from napari_deferredseg.usecases.project import init_project
from napari_deferredseg.usecases.reading.open_case import load_case
from napari_deferredseg.usecases.reading.session import Session
from napari_deferredseg.usecases.running.predict import ExternalInput
from napari_deferredseg.usecases.running.run import run_external

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from napari_deferredseg.usecases.project import Project

VERIFY = """
import sys
from nnunetv2.experiment_planning.verify_dataset_integrity import verify_dataset_integrity
if __name__ == "__main__":
    verify_dataset_integrity(sys.argv[1], 1)
"""
NNUNET = ("--format", "nnunet")
FEW = Budget(amount=4, unit="regions")


def run(project: Project, volume: Path, *masks: Path) -> str:
    return run_external(project, ExternalInput(volume=volume, labels=masks), FEW).case.key


def correct(project: Project, key: str, reader: str, value: int, verdict: Verdict = Verdict.EDITED):
    """Let a reader take their first region of a case that is not all of this value, and paint all of it."""
    session = Session()
    session.set_project(project)
    case = load_case(project, key)
    session.set_case(case)
    session.choose_reader(reader)
    waiting = (x for x in session.worklist() if x.case.key == key)
    item = next(x for x in waiting if (case.composed[slices(x.region.box)] != value).any())
    assert session.begin(item)
    if verdict is Verdict.EDITED:
        session.work[slices(item.region.box)] = value
        session.note_change(item.region.box)
    return session.submit(verdict)


def support(shape: tuple[int, int, int], *corrections) -> np.ndarray:
    found = np.zeros(shape, bool)
    for c in corrections:
        found[slices(c.box)] |= c.support
    return found


def array(path: Path) -> np.ndarray:
    return sitk.GetArrayFromImage(sitk.ReadImage(str(path)))


def same_place(path: Path, source: Path) -> None:
    image, other = sitk.ReadImage(str(path)), sitk.ReadImage(str(source))
    assert image.GetSize() == other.GetSize()
    for of in ("GetSpacing", "GetOrigin", "GetDirection"):
        np.testing.assert_allclose(getattr(image, of)(), getattr(other, of)(), rtol=0, atol=1e-6)


def no_warning(folder: Path, tmp_path: Path) -> None:
    """Run nnU-Net's own check, which starts processes, in a process of its own."""
    pytest.importorskip("nnunetv2", reason="nnU-Net is not installed: pip install napari-deferredseg[nnunet]")
    script = tmp_path / "verify.py"
    script.write_text(VERIFY, "utf-8")
    done = subprocess.run(
        [sys.executable, script, folder], capture_output=True, text=True, timeout=300, check=False, cwd=tmp_path
    )
    said = (done.stdout + done.stderr).casefold()
    assert done.returncode == 0, said
    assert "verify_dataset_integrity done" in said
    for line in said.splitlines():
        known = line.startswith("nnunet_") or "if you didn't see any error" in line
        assert known or not any(word in line for word in ("warning", "error", "mismatch")), line


@pytest.fixture
def hospital(scene, data, tmp_path) -> Iterator[tuple[Project, dict[str, Path]]]:
    """Three cases with labels of different tables: a flipped CT of many organs, a spleen, and the oblique scene."""
    abdomen, spleen = data / "abdomen_ct", data / "spleen_ct"
    manual = read_labels(spleen / "manual_label.nii.gz")
    named, other = tmp_path / "spleen.nii.gz", tmp_path / "shifted.nii.gz"
    write_labels(named, manual.array, manual.geometry, table_from_names({1: "Spleen"}))
    write_labels(other, np.roll(manual.array, 3, 2), manual.geometry, table_from_names({1: "Spleen"}))
    organs = []
    for path in (abdomen / "ct_small_ai_mask_a.nii.gz", abdomen / "ct_small_ai_mask_b.nii.gz"):
        mask = read_labels(path)
        names = {x.value: f"organ {x.value}" for x in mask.table.labels} | {1: "spleen", 5: "liver"}
        organs.append(tmp_path / path.name)
        write_labels(organs[-1], mask.array, mask.geometry, table_from_names(names))
    project = scene.open()
    project.store.add_reader(Reader(login="aux", name="Auxilia", capacity=600))
    sources = {
        project.store.cases()[0].key: scene.volume,
        run(project, abdomen / "ct_small.nii.gz", *organs): abdomen / "ct_small.nii.gz",
        run(project, spleen / "image.nii.gz", named, other): spleen / "image.nii.gz",
    }
    yield project, sources
    project.close()


def assigned(project: Project, key: str) -> str:
    """Somebody who has a region of this case to read."""
    return next(x.assignment.reader for x in project.store.items(case_key=key) if x.assignment.reader)


@pytest.mark.data
@pytest.mark.slow
def test_nnunet_takes_three_real_cases_without_a_warning(hospital, type_in, tmp_path):
    project, sources = hospital
    out = tmp_path / "nnUNet_raw"
    words = ("export", "-p", project.folder, "-o", out, *NNUNET, "--dataset", 73, "--name", "Abdomen")
    said = type_in(*words)
    assert said.code == 1
    assert "'liver'" in said.err
    assert "--by-name" in said.err
    assert not out.exists()
    said = type_in(*words, "--by-name")
    assert (said.code, said.err) == (0, "")
    folder = out / "Dataset073_Abdomen"
    assert {p.name for p in out.iterdir()} == {folder.name, "receipt.json"}
    described = json.loads((folder / "dataset.json").read_text("utf-8"))
    names = list(described["labels"])
    assert list(described["labels"].values()) == list(range(len(names)))
    assert (described["numTraining"], described["file_ending"], names[0]) == (3, ".nii.gz", "background")
    assert described["channel_names"] == {"0": "image"}
    assert [n.casefold() for n in names].count("spleen") == 1, "one name is one class, whatever its value"
    facts = {x["case"]: x for x in json.loads((folder / "provenance.json").read_text("utf-8"))["cases"]}
    for key, source in sources.items():
        image, label = folder / "imagesTr" / f"{key}_0000.nii.gz", folder / "labelsTr" / f"{key}.nii.gz"
        same_place(image, source)
        same_place(label, source)
        np.testing.assert_array_equal(array(image), array(source))
        case = load_case(project, key)
        written = array(label)
        for value in np.unique(case.composed):
            number = described["labels"][names[facts[key]["classes"][str(value)]]] if value else 0
            assert names[number].casefold() == case.prediction.table.name(int(value)).casefold()
            np.testing.assert_array_equal(written == number, case.composed == value)
    assert sorted(p.name for p in folder.rglob("*") if p.is_file()) == sorted(
        [f"{k}{end}" for k in sources for end in (".nii.gz", "_0000.nii.gz")] + ["dataset.json", "provenance.json"]
    )
    no_warning(folder, tmp_path)


@pytest.mark.data
@pytest.mark.slow
def test_nnunet_learns_only_from_what_was_reviewed(hospital, type_in, tmp_path):
    project, sources = hospital
    first, second, _ = sources
    done = {key: correct(project, key, assigned(project, key), 2) for key in (first, second)}
    said = type_in("export", "-p", project.folder, "-o", tmp_path / "o", *NNUNET, "--ignore-unreviewed", "--by-name")
    assert (said.code, said.err) == (0, "")
    assert said.out.splitlines()[-1].split()[1] == "-", "the case that nobody reviewed is left out"
    folder = tmp_path / "o" / "Dataset500_Corrected"
    described = json.loads((folder / "dataset.json").read_text("utf-8"))
    labels = described["labels"]
    assert list(labels.values()) == list(range(len(labels)))
    assert list(labels)[-1] == "ignore"
    assert described["numTraining"] == 2
    facts = {x["case"]: x for x in json.loads((folder / "provenance.json").read_text("utf-8"))["cases"]}
    for key, correction in done.items():
        case = load_case(project, key)
        written = array(folder / "labelsTr" / f"{key}.nii.gz")
        reviewed = support(written.shape, correction)
        np.testing.assert_array_equal(written == labels["ignore"], ~reviewed)
        lookup = {0: 0, **{int(k): v for k, v in facts[key]["classes"].items()}}
        expected = [lookup[int(v)] for v in case.composed[reviewed]]
        np.testing.assert_array_equal(written[reviewed], expected)
    no_warning(folder, tmp_path)


@pytest.mark.data
@pytest.mark.slow
def test_monai_list_reads_back_in_both_ways(hospital, type_in, tmp_path):
    datalists = pytest.importorskip("monai.data", reason="MONAI is not installed")
    project, sources = hospital
    # The spleen is 1 in one case, the liver in another: no list can hold both.
    said = type_in("export", "-p", project.folder, "-o", tmp_path / "o", "--format", "monai")
    assert said.code == 1
    assert "'liver'" in said.err
    assert "--case" in said.err
    assert not (tmp_path / "o").exists()
    key = next(iter(sources))
    corrections = [correct(project, key, reader, value) for reader, value in (("ada", 2), ("ben", 1))]
    said = type_in("export", "-p", project.folder, "-o", tmp_path / "o", "--format", "monai", "--case", key)
    assert (said.code, said.err) == (0, "")
    case = load_case(project, key)
    (read,) = read_datalist(tmp_path / "o" / "cases.json").training
    assert read_datalist(tmp_path / "o" / "cases.json").table.name(2) == "spleen"
    assert (read.patient, sorted(read.experts), sorted(read.support)) == (key, ["ada", "ben"], ["ada", "ben"])
    for path in read.files():
        same_place(path, sources[key])
    np.testing.assert_array_equal(array(read.image[0]), array(sources[key]))
    np.testing.assert_array_equal(array(read.label), case.composed)
    for correction in corrections:
        own = array(read.experts[correction.reader])
        expected = case.labels.copy()
        here = slices(correction.box)
        expected[here][correction.support] = correction.after[correction.support]
        np.testing.assert_array_equal(own, expected)
        np.testing.assert_array_equal(array(read.support[correction.reader]) > 0, support(own.shape, correction))
    (theirs,) = datalists.load_decathlon_datalist(str(tmp_path / "o" / "cases.json"))
    assert theirs["image"] == str(read.image[0])
    assert theirs["label"] == str(read.label)


def test_a_split_keeps_every_case_in_one_list(scene, tmp_path):
    with scene.open() as project:
        for number in range(4):
            volume = read_volume(scene.volume)
            path = tmp_path / f"{number}.nii.gz"
            write_volume(path, Volume(volume.array + np.int16(number + 1), volume.geometry, ""))
            run(project, path, scene.first, scene.second)
        exporter = make_exporter("monai", validation=0.2, test=0.4, seed=3)
        export_cases(project, tmp_path / "out", exporter)
        found = read_datalist(tmp_path / "out" / "cases.json")
        assert [len(x) for x in (found.training, found.validation, found.test)] == [2, 1, 2]
        keys = [case.key for part in (found.training, found.validation, found.test) for case in part]
        assert sorted(keys) == sorted(case.key for case in project.store.cases())
        assert not any(case.experts for case in found.training), "nobody has read anything"


@settings(deadline=None, max_examples=50)
@given(
    st.lists(st.text(min_size=1, max_size=5), min_size=1, max_size=40, unique=True),
    st.floats(0, 0.6),
    st.floats(0, 0.39),
    st.integers(0, 5),
    st.randoms(),
)
def test_patients_are_dealt_out_once_and_in_no_order(patients, validation, test, seed, random):
    shares = (("validation", validation), ("test", test))
    counts = {name: max(1, round(share * len(patients))) if share else 0 for name, share in shares}
    try:
        dealt = split_patients(patients, validation, test, seed)
    except InputError:
        assert sum(counts.values()) >= len(patients)
        return
    everybody = [p for part in dealt.values() for p in part]
    assert sorted(everybody) == sorted(patients)
    assert dealt["training"]
    assert {name: len(dealt[name]) for name in counts} == counts  # type: ignore[index]
    assert split_patients(random.sample(patients, len(patients)), validation, test, seed) == dealt


def test_an_answer_that_is_none_is_not_reviewed(scene, tmp_path):
    with scene.open() as project:
        key = project.store.cases()[0].key
        correct(project, key, "ada", 0, Verdict.INDETERMINATE)
        with pytest.raises(InputError, match="no reader has reviewed"):
            export_cases(project, tmp_path / "o", make_exporter("nnunet", ignore_unreviewed=True))
        assert not (tmp_path / "o").exists()
        accepted = correct(project, key, "ben", 0, Verdict.ACCEPTED)
        export_cases(project, tmp_path / "o", make_exporter("nnunet", ignore_unreviewed=True))
        (label,) = (tmp_path / "o").rglob("labelsTr/*.nii.gz")
        labels = array(label)
        np.testing.assert_array_equal(labels < labels.max(), support(labels.shape, accepted))
        export_cases(project, tmp_path / "m", make_exporter("monai"))
        (entry,) = read_datalist(tmp_path / "m" / "cases.json").training
        assert list(entry.experts) == ["ben"]


def two_channels(scene, tmp_path: Path) -> Path:
    volume = read_volume(scene.volume)
    path = tmp_path / "two.nrrd"
    stack = np.stack([volume.array, volume.array[::-1] + np.int16(7)])
    write_volume(path, Volume(stack, volume.geometry, "", channels=("a", "b")))
    return path


def test_channels_go_into_files_of_their_own(unread, tmp_path):
    path = two_channels(unread, tmp_path)
    with unread.open() as project:
        key = run(project, path, unread.first, unread.second)
        with pytest.raises(InputError, match=r"2 channels.*1 names"):
            export_cases(project, tmp_path / "o", make_exporter("nnunet", channel=("CT",)))
        assert not (tmp_path / "o").exists()
        export_cases(project, tmp_path / "o", make_exporter("nnunet", channel=("FLAIR", "T1")))
        folder = tmp_path / "o" / "Dataset500_Corrected"
        assert json.loads((folder / "dataset.json").read_text("utf-8"))["channel_names"] == {"0": "FLAIR", "1": "T1"}
        source = read_volume(path)
        for number in range(2):
            image = folder / "imagesTr" / f"{key}_{number:04d}.nii.gz"
            np.testing.assert_array_equal(array(image), source.channel(number))
            same_place(image, unread.volume)
        export_cases(project, tmp_path / "m", make_exporter("monai"))
        (entry,) = read_datalist(tmp_path / "m" / "cases.json").training
        for number, image in enumerate(entry.image):
            np.testing.assert_array_equal(array(image), source.channel(number))
        run(project, unread.volume, unread.first, unread.second)
        with pytest.raises(InputError, match="channels"):
            export_cases(project, tmp_path / "p", make_exporter("nnunet"))
        assert not (tmp_path / "p").exists()


def test_a_label_called_ignore_is_learned_from(unread, tmp_path):
    masks = [tmp_path / "a.nii.gz", tmp_path / "b.nii.gz"]
    for path, source in zip(masks, (unread.first, unread.second), strict=True):
        labels = read_labels(source)
        table = table_from_names({1: "ignore", 5: "spleen", 9: "never seen"})
        write_labels(path, np.array([0, 1, 5], np.uint8)[labels.array], labels.geometry, table)
    with unread.open() as project:
        run(project, unread.volume, *masks)
        export_cases(project, tmp_path / "o", make_exporter("nnunet"))
    (path,) = (tmp_path / "o").rglob("dataset.json")
    labels = json.loads(path.read_text("utf-8"))["labels"]
    assert labels == {"background": 0, "ignore (1)": 1, "spleen": 2}


words = st.sampled_from(["ignore", "Ignore", "background", "a", "A", "a (1)", "a (1) (2)", "b", "b (7)"])


@settings(deadline=None, max_examples=200)
@given(st.lists(st.dictionaries(st.integers(1, 9), words), min_size=1, max_size=4), st.sets(st.integers(0, 12)))
def test_every_label_has_a_class_of_its_own(tables, present):
    cases = [class_names(table_from_names(names), present) for names in tables]
    classes = number_classes(cases)
    assert number_classes(cases[::-1]) == classes
    folded = [name.casefold() for name in classes.names]
    assert len(set(folded)) == len(folded)
    assert not {"ignore", "background"} & set(folded)
    for names in cases:
        assert sorted(names) == sorted(present - {0})
        numbers = classes.numbers(names)
        assert len(set(numbers.values())) == len(names)
        assert all(classes.names[n - 1].casefold() == names[v].casefold() for v, n in numbers.items())
        array = np.array(sorted(present | {0}), np.uint8)
        found = renumbered(array, numbers, highest=len(classes.names) + 1)
        assert found.tolist() == [numbers.get(int(v), 0) for v in array]
    assert {n for names in cases for n in classes.numbers(names).values()} == set(range(1, len(classes.names) + 1))


A = {1: "liver", 2: "tumour"}
MIXED = {
    "no names": (A, {}, True),
    "no names, other values": ({1: "liver"}, {}, True),
    "half of the names": (A, {1: "liver"}, True),
    "a value with two names": (A, {1: "spleen", 2: "tumour"}, True),
    "a name with two values": (A, {1: "tumour", 2: "liver"}, True),
    "the same names": (A, {1: "Liver", 2: "TUMOUR"}, False),
    "further names": (A, A | {9: "never seen"}, False),
    "no names at all": ({}, {}, False),
}


@pytest.mark.parametrize("form", ["nnunet", "monai"])
@pytest.mark.parametrize("case", MIXED)
def test_labels_mean_the_same_in_all_cases_of_a_data_set(unread, tmp_path, form, case):
    """Tables that contradict each other, or are there for some cases only, are refused before anything is written."""
    *tables, mixed = MIXED[case]
    with unread.open() as project:
        for number, names in enumerate(tables):
            volume = read_volume(unread.volume)
            write_volume(tmp_path / f"{number}.nii.gz", Volume(volume.array + number, volume.geometry, ""))
            masks = [tmp_path / f"{number}-{path.name}" for path in (unread.first, unread.second)]
            for mask, path in zip(masks, (unread.first, unread.second), strict=True):
                labels = read_labels(path)
                array = (
                    np.where(labels.array > 1, 1, labels.array) if case == "no names, other values" else labels.array
                )
                shift = 2 * (case == "no names, other values" and number)
                array = np.where(array > 0, array + shift, 0).astype(np.uint8)
                write_labels(mask, array, labels.geometry, table_from_names(names))
                if not names:
                    mask.with_name(f"{mask.name.removesuffix('.nii.gz')}.labels.csv").unlink()
            report = run_external(project, ExternalInput(tmp_path / f"{number}.nii.gz", tuple(masks)), FEW)
        assert any("cannot be exported as one" in note for note in report.cautions) == (
            mixed and case != "no names, other values"
        )
        if not mixed:
            export_cases(project, tmp_path / "o", make_exporter(form))
            return
        with pytest.raises(InputError, match=r"case-\w+ .*--case") as refused:
            export_cases(project, tmp_path / "o", make_exporter(form))
        assert "\n" not in str(refused.value)
        assert not (tmp_path / "o").exists()


@pytest.mark.parametrize("form", ["nnunet", "monai"])
def test_what_goes_wrong_leaves_the_earlier_export(scene, tmp_path, snapshot, form):
    with scene.open() as project:
        export_cases(project, tmp_path / "o", make_exporter(form))
        before = snapshot(tmp_path / "o")
        correct(project, project.store.cases()[0].key, "ada", 2)

        def stop(share: float, doing: str) -> None:
            if doing.startswith("exporting"):
                raise KeyboardInterrupt

        with pytest.raises(KeyboardInterrupt):
            export_cases(project, tmp_path / "o", make_exporter(form), progress=stop)
        assert snapshot(tmp_path / "o") == before
        image = scene.volume.read_bytes()
        scene.volume.unlink()
        for out in (tmp_path / "o", tmp_path / "new" / "deep"):
            with pytest.raises(InputError, match="gone"):
                export_cases(project, out, make_exporter(form))
        assert snapshot(tmp_path / "o") == before
        assert not (tmp_path / "new").exists()
        assert not list(tmp_path.rglob(".writing-*"))
        scene.volume.write_bytes(image)
        export_cases(project, tmp_path / "o", make_exporter(form))
        after = snapshot(tmp_path / "o")
        assert after.keys() >= before.keys()
        assert any(after[name] != before[name] for name in before if name.endswith(".nii.gz"))
        assert not list(tmp_path.rglob(".writing-*"))


@pytest.mark.parametrize("form", ["nnunet", "monai"])
def test_nothing_of_anybody_else_is_replaced(scene, tmp_path, snapshot, form):
    out = tmp_path / "o"
    with scene.open() as project:
        export_cases(project, out, make_exporter(form))
        (facts,) = out.rglob("provenance.json")
        (facts.parent / ".DS_Store").write_bytes(b"")
        export_cases(project, out, make_exporter(form))
        (facts.parent / "notes.txt").write_bytes(b"mine")
        before = snapshot(out)
        with pytest.raises(InputError, match=r"notes\.txt.*move it"):
            export_cases(project, out, make_exporter(form))
        (facts.parent / "notes.txt").unlink()
        files = ExternalInput(volume=scene.volume, labels=(scene.first, scene.second))
        with init_project(tmp_path / "other") as other:
            other.store.add_reader(Reader(login="zoe", name="Zoe"))
            run_external(other, files)
            with pytest.raises(InputError, match="another folder"):
                export_cases(other, out, make_exporter(form))
    assert snapshot(out) == {k: v for k, v in before.items() if "notes" not in k}


def test_nnunet_is_given_no_nan(unread, tmp_path):
    volume = read_volume(unread.volume)
    holes = volume.array.astype(np.float32)
    holes[0, 0, 0] = np.nan
    write_volume(tmp_path / "holes.nrrd", Volume(holes, volume.geometry, ""))
    with unread.open() as project:
        run(project, tmp_path / "holes.nrrd", unread.first, unread.second)
        with pytest.raises(InputError, match=r"holes\.nrrd: .*NaN"):
            export_cases(project, tmp_path / "o", make_exporter("nnunet"))
        assert not (tmp_path / "o").exists()


def foreign(name: str):
    def make(out: Path) -> None:
        (out / name).parent.mkdir(parents=True)
        (out / name).write_bytes(b"{}")

    return make


BAD = {
    "number 0": (None, (*NNUNET, "--dataset", 0), ("0 is no number", "1 to 999")),
    "number 1000": (None, (*NNUNET, "--dataset", 1000), ("1000 is no number", "1 to 999")),
    "name": (None, (*NNUNET, "--name", "../x"), ("'../x'", "letters")),
    "empty channel": (None, (*NNUNET, "--channel", " "), ("channel is empty",)),
    "two channels": (None, (*NNUNET, "--channel", "CT", "--channel", "PET"), ("1 channels", "2 names", "--channel")),
    "nobody reviewed": (None, (*NNUNET, "--ignore-unreviewed"), ("no reader has reviewed", "--ignore-unreviewed")),
    "option of nnunet": (None, ("--ignore-unreviewed",), ("--ignore-unreviewed", "--format nifti")),
    "option of monai": (None, (*NNUNET, "--validation", 0.2), ("--validation", "--format nnunet")),
    "share": (None, ("--format", "monai", "--test", 1.5), ("1.5", "--test", "0 to 1")),
    "no share": (None, ("--format", "monai", "--validation", "nan"), ("nan", "--validation")),
    "shares": (None, ("--format", "monai", "--validation", 0.5, "--test", 0.5), ("nothing for training",)),
    "one case": (None, ("--format", "monai", "--validation", 0.5), ("too few", "--validation")),
    "nnunet: file": (lambda out: out.write_bytes(b""), NNUNET, ("is a file", "folder")),
    "nnunet: theirs": (foreign("Dataset500_Corrected/dataset.json"), NNUNET, ("dataset.json", "another folder")),
    "nnunet: number taken": (foreign("Dataset500_Liver/dataset.json"), NNUNET, ("Dataset500_Liver", "--dataset")),
    "monai: file": (lambda out: out.write_bytes(b""), ("--format", "monai"), ("is a file", "folder")),
    "monai: theirs": (foreign("cases.json"), ("--format", "monai"), ("cases.json", "another folder")),
    "monai: a provenance of theirs": (foreign("provenance.json"), ("--format", "monai"), ("another folder",)),
}


@pytest.mark.parametrize("name", BAD)
def test_a_bad_export_is_one_line_and_writes_nothing(scene, type_in, snapshot, tmp_path, name):
    prepare, words, parts = BAD[name]
    if prepare is not None:
        prepare(tmp_path / "o")
    before = snapshot(tmp_path)
    said = type_in("export", "-p", scene.folder, "-o", tmp_path / "o", *words)
    assert (said.code, said.out) == (1, "")
    (line,) = said.err.splitlines()
    for part in parts:
        assert part in line
    assert "unexpected" not in line
    assert snapshot(tmp_path) == before
