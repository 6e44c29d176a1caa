"""What a model learned from is measured, kept and compared; torch is not needed for it."""

from __future__ import annotations

import json
import subprocess
import sys
from dataclasses import replace

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from napari_deferredseg.core.errors import InputError
from napari_deferredseg.core.geometry import Geometry
from napari_deferredseg.core.volume import Volume
from napari_deferredseg.deferral.data.domain import FILE, departures, domain_of, read_domain, traits_of, write_domain

SHAPE = (12, 30, 34)
LABELS = ("liver", "spleen")


def image(seed, spacing=(2.0, 2.0, 5.0), shape=SHAPE, modality="CT", level=0.0, kind=np.int16):
    """A dark ground and a bright body of a size of its own."""
    rng = np.random.default_rng(seed)
    array = rng.normal(-1000, 20, shape)
    inside = rng.integers(4, 9)
    array[:, inside:-inside, inside:-inside] = rng.normal(60, 40, array[:, inside:-inside, inside:-inside].shape)
    return Volume((array + level).astype(kind), Geometry(shape=shape, spacing=spacing), f"{seed}", modality=modality)


def learnt(count=24, scale="stored", **options):
    return domain_of([traits_of(image(seed, **options), scale) for seed in range(count)], LABELS, scale)


def told(domain, volume):
    return [(x.what.split(" of ")[0], x.far) for x in departures(domain, traits_of(volume, domain.scale))]


@settings(deadline=None, max_examples=20)
@given(
    st.lists(st.tuples(st.floats(0.3, 6), st.floats(0.3, 6), st.floats(0.3, 8)), min_size=1, max_size=4),
    st.sampled_from(["stored", "z-score"]),
    st.sampled_from([np.int16, np.float32]),
)
def test_no_case_is_out_of_its_own_domain(spacings, scale, kind):
    cases = [image(seed, spacing, kind=kind) for seed, spacing in enumerate(spacings)]
    domain = domain_of([traits_of(case, scale) for case in cases], LABELS, scale)
    assert [told(domain, case) for case in cases] == [[]] * len(cases)


def test_another_case_of_the_kind_is_within():
    for scale in ("stored", "z-score"):
        domain = learnt(scale=scale)
        assert [told(domain, image(seed)) for seed in range(100, 120)] == [[]] * 20
        assert told(domain, image(100, modality="")) == []


@pytest.mark.parametrize(
    ("changes", "found"),
    [
        ({"modality": "MR"}, [("its modality is MR, theirs CT", True)]),
        ({"spacing": (4.0, 4.0, 5.0), "shape": (12, 15, 17)}, None),
        ({"spacing": (4.1, 2.0, 5.0), "shape": (12, 30, 17)}, True),
        ({"spacing": (0.9, 2.0, 5.0), "shape": (12, 30, 76)}, True),
        ({"spacing": (2.0, 2.0, 7.0), "shape": (9, 30, 34)}, False),
        ({"shape": (2, 30, 34)}, [("its field", True)]),
        ({"shape": (30, 30, 34)}, [("its field", False)]),
        ({"level": 2000.0}, True),
    ],
)
def test_what_is_unlike_the_cases_is_said_and_how_far(changes, found):
    volume = image(200, **changes)
    said = told(learnt(), volume)
    if isinstance(found, list):
        assert said == found
    elif found is None:
        assert said
        assert not any(far for _, far in said)
    else:
        assert said
        assert any(far for _, far in said) == found


def other_tissue(seed):
    """Within the grey values of all cases, but hardly any ground and much that is half as bright."""
    volume = image(seed)
    array = np.where(volume.array < -500, -450, volume.array).astype(np.int16)
    return replace(volume, array=array)


def test_grey_values_that_are_distributed_otherwise_are_far_where_there_were_cases_enough_to_say():
    (only,) = departures(learnt(24), traits_of(other_tissue(300), "stored"))
    assert (only.far, "distributed otherwise" in only.what) == (True, True)
    assert not any(far for _, far in told(learnt(6), other_tissue(300)))


def test_a_network_that_sees_standard_deviations_does_not_mind_the_scale():
    domain = learnt(scale="z-score")
    volume = image(100)
    assert told(domain, replace(volume, array=volume.array.astype(np.float32) * 7.5 + 300)) == []
    assert any(far for _, far in told(learnt(), replace(volume, array=volume.array.astype(np.float32) * 7.5 + 300)))


def test_channels_are_compared_one_by_one():
    def both(seed, level=0.0):
        first, second = image(seed), image(seed + 1000, level=level)
        return replace(first, array=np.stack([first.array, second.array]), channels=("a", "b"))

    domain = domain_of([traits_of(both(seed), "stored") for seed in range(24)], LABELS, "stored")
    assert told(domain, both(500)) == []
    (only,) = departures(domain, traits_of(both(500, level=3000.0), "stored"))
    assert "of its voxels of channel 2 lie beyond" in only.what


def test_voxels_that_are_not_finite_do_not_count():
    volume = image(3, kind=np.float32)
    volume.array[::2] = np.nan
    assert told(learnt(), volume) == []
    assert any(far for _, far in told(learnt(), replace(volume, array=np.full(SHAPE, np.nan, np.float32))))


def test_the_record_is_kept_and_later_parts_pass(tmp_path):
    domain = learnt(3)
    write_domain(tmp_path, domain)
    assert [p.name for p in tmp_path.iterdir()] == [FILE]
    assert read_domain(tmp_path, LABELS, 1) == domain
    assert read_domain(tmp_path / "none", LABELS, 1) is None
    content = json.loads((tmp_path / FILE).read_text("utf-8"))
    (tmp_path / FILE).write_text(json.dumps(content | {"scores": {"entropy": [0, 1]}}), "utf-8")
    assert read_domain(tmp_path, LABELS, 1) == domain


@pytest.mark.parametrize(
    ("change", "says"),
    [
        ({"format": 2}, "format"),
        ({"cases": 0}, "cases"),
        ({"labels": ["aorta"]}, "is of a model of aorta"),
        ({"channels": []}, "channels"),
        ({"spacing_mm": "wide"}, "spacing_mm"),
        ("{", "copy the model again"),
    ],
)
def test_a_record_that_cannot_be_used_is_a_line(tmp_path, change, says):
    write_domain(tmp_path, learnt(2))
    content = json.loads((tmp_path / FILE).read_text("utf-8"))
    text = change if isinstance(change, str) else json.dumps(content | change)
    (tmp_path / FILE).write_text(text, "utf-8")
    with pytest.raises(InputError, match=says) as refused:
        read_domain(tmp_path, LABELS, 1)
    assert "\n" not in str(refused.value)
    with pytest.raises(InputError, match=r"with 1 channels, not of this one|copy the model again"):
        read_domain(tmp_path, LABELS, 2)


def test_torch_is_not_loaded():
    names = "napari_deferredseg.usecases.running.domain, napari_deferredseg.deferral.jobs"
    code = f"import sys, {names}; assert not {{'torch', 'monai'}} & set(sys.modules)"
    subprocess.run([sys.executable, "-c", code], check=True, timeout=60)
