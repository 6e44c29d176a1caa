"""Segment Anything below a router: the package's own masks, tokens of their own, embeddings kept on disk."""

from __future__ import annotations

import json
import shutil
from pathlib import Path

import numpy as np
import pytest
import segment_anything
import SimpleITK as sitk
import torch
from safetensors.torch import load_file
from segment_anything import SamPredictor
from torch.utils.flop_counter import FlopCounterMode

from napari_deferredseg.core.errors import InputError, MissingExtra
from napari_deferredseg.core.geometry import Geometry
from napari_deferredseg.core.progress import silent
from napari_deferredseg.core.scan import Scan, SliceBox
from napari_deferredseg.core.volume import Volume, table_from_names
from napari_deferredseg.deferral.data.cases import PreparedCase
from napari_deferredseg.deferral.data.images import ViewedScan
from napari_deferredseg.deferral.data.segmentor_settings import SamConfig
from napari_deferredseg.deferral.data.train_settings import TrainConfig, read_config
from napari_deferredseg.deferral.evaluation.evaluate import evaluate
from napari_deferredseg.deferral.jobs import predict
from napari_deferredseg.deferral.model.model import load_model
from napari_deferredseg.deferral.routers.kept_slices import KeptSlices
from napari_deferredseg.deferral.routers.tokens import TokenRouter
from napari_deferredseg.deferral.segmentors.sam import slices as sam_slices
from napari_deferredseg.deferral.segmentors.sam.decoder import decode_fast, decode_plain
from napari_deferredseg.deferral.segmentors.sam.embeddings import FOLDER, LIMIT, EmbeddingCache
from napari_deferredseg.deferral.segmentors.sam.encoder import FastEncoder, PlainEncoder
from napari_deferredseg.deferral.segmentors.sam.segmentor import (
    SamSegmentor,
    load_weights,
    make_network,
    segmentor_over,
)
from napari_deferredseg.io.datalist import read_datalist
from napari_deferredseg.io.images import read_labels, read_volume
from napari_deferredseg.io.writing import write_labels
from napari_deferredseg.masks.prompts import boxes_of

from .test_segmentor_contract import tiny_sam

CPU = torch.device("cpu")
TABLE = table_from_names({1: "organ 1"})
TOML = """
[segmentor]
kind = "sam"
checkpoint = "sam.pth"
path = "plain"
window = [-1, 2]

[data]
spatial_dims = 2
patch = [16, 16]

[router]
fit = { steps = 4, batch = 2, validate_every = 2, learning_rate = 0.001 }

[policy]
budgets = [0.05, 0.2]
unit = "voxels"
"""


@pytest.fixture
def place(tmp_path, monkeypatch):
    """Folder with a checkpoint as published, but of a small Segment Anything, and a configuration."""
    monkeypatch.setitem(segment_anything.sam_model_registry, "vit_b", lambda checkpoint=None: tiny_sam())
    monkeypatch.setenv(FOLDER, str(tmp_path / "embeddings"))
    torch.manual_seed(5)
    torch.save(tiny_sam().state_dict(), tmp_path / "sam.pth")
    (tmp_path / "train.toml").write_text(TOML)
    return tmp_path


@pytest.fixture
def prompted(cases, tmp_path):
    """The cases, each with the mask of its first reader as a prompt."""
    content = json.loads(cases.read_text("utf-8"))
    for split in ("training", "validation", "test"):
        for case in content[split]:
            for name in ("image", "label"):
                case[name] = _absolute(cases, case[name])
            case["experts"] = {k: _absolute(cases, v) for k, v in case["experts"].items()}
            case["prompt"] = case["experts"]["Ada"]
    path = tmp_path / "prompted.json"
    path.write_text(json.dumps(content), "utf-8")
    return path


def _absolute(cases, name):
    return [_absolute(cases, n) for n in name] if isinstance(name, list) else str(cases.parent / name)


def volume_of(shape=(3, 60, 90), seed=0):
    array = np.random.default_rng(seed).normal(0, 100, shape).astype(np.float32)
    return Volume(array, Geometry(shape=shape, spacing=(1.0, 1.0, 2.0)), "made")


def boxes_for(shape, label=1):
    return tuple(SliceBox(label, z, (10, 10 + shape[1] // 2), (5 + z, shape[2] - 8)) for z in range(shape[0]))


def segmentor(place, **settings):
    config = SamConfig(kind="sam", checkpoint=place / "sam.pth", **{"path": "plain", "window": (-200, 200)} | settings)
    network = make_network(config)
    load_weights(network, config)
    return segmentor_over(network, config, TABLE, None)


def by_package(sam, gray, box):
    """Logits (y, x) of one box in a gray slice (y, x), uint8, by the package alone."""
    predictor = SamPredictor(sam)
    predictor.set_image(np.repeat(gray[..., None], 3, axis=2))
    corners = np.array([box.columns[0], box.rows[0], box.columns[1] - 1, box.rows[1] - 1])
    return predictor.predict(box=corners, multimask_output=False, return_logits=True)[0][0]


@pytest.mark.parametrize("shape", [(3, 60, 90), (2, 90, 60), (1, 128, 128), (1, 300, 200)])
def test_the_plain_mask_is_the_package_s(place, shape):
    volume = volume_of(shape)
    found = segmentor(place).segment(Scan(volume, boxes_for(shape)), CPU)
    sam = tiny_sam()
    sam.load_state_dict(torch.load(place / "sam.pth", weights_only=True))
    for box in boxes_for(shape):
        gray = np.rint(np.clip((volume.array[box.z] + 200) / 400, 0, 1) * 255).astype(np.uint8)
        theirs = by_package(sam, gray, box)
        np.testing.assert_allclose(found[1, box.z], np.maximum(theirs, -20), atol=1e-5)
        assert theirs.std() > 1e-3


def seeded_encoder(attended=0.0, hidden=0.0):
    """Encoder whose norms before attention and hidden layers give all places so much in common."""
    torch.manual_seed(5)
    encoder = tiny_sam().image_encoder
    for block in encoder.blocks:
        for norm, size in ((block.norm1, attended), (block.norm2, hidden)):
            norm.bias.data += size * torch.randn(norm.bias.shape)
    return encoder


def as_if_best_in(half, monkeypatch, rows=None):
    """Let the processor be good at half precision or not, and compute so many rows at once."""
    at = "napari_deferredseg.deferral.segmentors.sam.encoder."
    monkeypatch.setattr(at + "autocast_dtype", lambda device: half)
    monkeypatch.setattr(at + "ROWS", {} if rows is None else {"cpu": rows})


def some_images():
    return torch.randn(3, 3, 128, 128, generator=torch.manual_seed(0))


@pytest.mark.parametrize("rows", [None, 50, 512])
def test_the_fast_way_through_the_weights_gives_the_same_embedding(monkeypatch, rows):
    encoder, images = seeded_encoder(), some_images()
    as_if_best_in(None, monkeypatch, rows)
    torch.testing.assert_close(FastEncoder(encoder, CPU)(images), PlainEncoder(encoder)(images), atol=5e-5, rtol=1e-5)


@pytest.mark.parametrize(("common", "share"), [((0, 0), 0.265), ((1, 10), 0.07)])
@pytest.mark.parametrize("rows", [None, 50])
def test_half_precision_costs_a_share_of_what_it_usually_does(monkeypatch, rows, common, share):
    """Without the second half of a weight, 0.28; with attention's common part in half precision, 0.11 of (1, 10)."""
    encoder, images = seeded_encoder(*common), some_images()
    as_if_best_in(torch.bfloat16, monkeypatch, rows)
    plain, fast = PlainEncoder(encoder)(images), FastEncoder(encoder, CPU)(images)
    with torch.inference_mode(), torch.autocast("cpu", torch.bfloat16):
        usual = encoder(images).float()
    assert 0 < (fast - plain).std() < share * (usual - plain).std()


def test_boxes_that_are_decoded_together_are_those_of_the_package(place):
    sam = tiny_sam()
    made = torch.manual_seed(0)
    embedding = torch.randn(256, 8, 8, generator=made)
    corners = torch.rand(5, 4, generator=made) * 64 + torch.tensor([0.0, 0.0, 64.0, 64.0])
    with torch.inference_mode():
        plain, fast = (decode(sam, embedding, corners) for decode in (decode_plain, decode_fast))
    torch.testing.assert_close(fast, plain, atol=1e-5, rtol=1e-5)
    assert plain.std(dim=0).max() > 1e-4


def test_a_router_of_tokens_learns_and_leaves_the_mask_alone(place, prompted, lab):
    config = read_config(place / "train.toml")
    assert config.routes_by_tokens
    case = read_datalist(prompted).test[0]
    volume = read_volume(case.image[0])
    scan = Scan(volume, boxes_of(read_volume(case.prompt).array.astype(np.uint8)))
    before = segmentor(place, window=(-1, 2)).segment(scan, CPU)
    folder = lab.train(prompted, place / "model", config)
    found = load_file(folder / "model.safetensors")
    state = torch.load(place / "sam.pth", weights_only=True)
    assert all(torch.equal(found[f"segmentor.{k}"], v) for k, v in state.items())
    own = {k for k in found if k.startswith("router.")}
    assert own == {f"router.{k}" for k in TokenRouter(3, 256).state_dict()}
    (place / "sam.pth").unlink()
    model = load_model(folder)
    assert isinstance(model.router, TokenRouter)
    np.testing.assert_allclose(model.segmentor.segment(scan, CPU), before, atol=1e-5)
    said = predict({}, silent, folder, scan, "cpu")
    np.testing.assert_array_equal(said.labels, before.argmax(axis=0))
    assert said.gain.shape == (3, *volume.array.shape)
    judgement, _ = evaluate(model, read_datalist(prompted), "test", (0.1,), "voxels", device=CPU)
    assert set(judgement.summary()["method"]) >= {"router", "entropy+best"}


def test_the_tokens_learn_who_is_right(place, prompted, lab):
    """Ada's mask is the prompt; tokens fitted for long know better who is right than those fitted for one step."""
    losses = []
    for steps in (1, 60):
        config = read_config(place / "train.toml")
        fit = config.router.fit.model_copy(
            update={"steps": steps, "validate_every": min(steps, 20), "learning_rate": 3e-3}
        )
        config = config.model_copy(update={"router": config.router.model_copy(update={"fit": fit})})
        lab.train(prompted, place / f"model{steps}", config)
        model = load_model(place / f"model{steps}")
        losses.append(_loss_of(model, prompted))
    assert losses[1] < 0.8 * losses[0]


def _loss_of(model, cases):
    """Cross-entropy of who is right, by the competence heads, on the test cases."""
    total = []
    for case in read_datalist(cases).test:
        truth = read_volume(case.label).array > 0
        scan = Scan(read_volume(case.image[0]), boxes_of(read_volume(case.prompt).array.astype(np.uint8)))
        logits = model.segmentor.segment(scan, CPU)
        data = model.spec.config.data
        routing = model.router.route(ViewedScan(scan, data), logits, data, CPU)
        right = [logits.argmax(axis=0) == truth]
        right += [(read_volume(case.experts[n]).array > 0) == truth for n in model.spec.experts]
        target = torch.from_numpy(np.stack(right)).float()[None]
        total.append(float(torch.nn.functional.binary_cross_entropy_with_logits(routing.competence, target)))
    return np.mean(total)


def test_a_run_that_was_cut_off_encodes_nothing_twice(place, prompted, lab, monkeypatch):
    config = read_config(place / "train.toml")
    count = []

    class Counted(PlainEncoder):
        def __call__(self, images):
            count.append(len(images))
            return super().__call__(images)

    monkeypatch.setattr(sam_slices, "PlainEncoder", Counted)

    def stop(share, doing):
        if doing.startswith("router: step 2"):
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        lab.train(prompted, place / "model", config, progress=stop)
    encoded = sum(count)
    assert encoded == 9  # training and validation slices, once each
    folder = lab.train(prompted, place / "model", config)
    assert sum(count) == encoded
    fresh = lab.train(prompted, place / "fresh", config)
    a, b = (load_file(f / "model.safetensors") for f in (folder, fresh))
    assert all(torch.equal(a[k], b[k]) for k in a)


def test_embeddings_stay_within_their_limit_and_damaged_ones_are_made_again(place):
    cache = EmbeddingCache(place / "embeddings", limit=3 * (256 * 8 * 8 * 4 + 128))
    made = segmentor(place)
    made = SamSegmentor(made.network, made.config, made.values, None, cache)
    volumes = [volume_of(seed=n) for n in range(3)]
    first = [made.segment(Scan(v, boxes_for(v.array.shape)), CPU) for v in volumes]
    files = sorted(cache.folder.glob("*/*.npy"))
    assert 0 < sum(f.stat().st_size for f in files) <= cache.limit
    for file in files:
        file.write_bytes(b"\x93NUMPY")
    again = [made.segment(Scan(v, boxes_for(v.array.shape)), CPU) for v in volumes]
    for a, b in zip(first, again, strict=True):
        np.testing.assert_array_equal(a, b)
    assert not list(cache.folder.glob("*/*.part"))


def test_a_cache_that_cannot_be_used_stops_nobody(place, monkeypatch):
    cache = EmbeddingCache(place / "embeddings", limit=0)
    cache.save("abc", np.zeros(3))
    monkeypatch.setattr(Path, "unlink", _refuse)
    cache.make_room()
    monkeypatch.setattr("os.utime", _refuse)
    np.testing.assert_array_equal(cache.load("abc"), np.zeros(3))
    monkeypatch.setenv(LIMIT, "10GB")
    with pytest.raises(InputError, match="is no number of gigabytes"):
        EmbeddingCache.of_user()


def _refuse(*_, **__):
    raise PermissionError(13, "in use")


def test_other_weights_other_windows_and_other_ways_have_embeddings_of_their_own(place):
    gray = np.zeros((8, 8), np.uint8)
    plain = SamConfig(kind="sam")
    keys = {
        sam_slices.embedding_key(b"a", gray, plain, "cpu"),
        sam_slices.embedding_key(b"b", gray, plain, "cpu"),
        sam_slices.embedding_key(b"a", gray + 1, plain, "cpu"),
        sam_slices.embedding_key(b"a", gray.reshape(4, 16), plain, "cpu"),
        sam_slices.embedding_key(b"a", gray, SamConfig(kind="sam", path="plain"), "cpu"),
        sam_slices.embedding_key(b"a", gray, SamConfig(kind="sam", input="medsam"), "cpu"),
        sam_slices.embedding_key(b"a", gray, plain, "cuda"),
    }
    assert len(keys) == 7


def test_a_structure_is_followed_into_slices_without_a_box(place):
    volume = volume_of((7, 60, 90))
    box = SliceBox(1, 3, (15, 45), (20, 70))
    reach = {}
    for slices in (0, 1, 2):
        found = segmentor(place, propagate=slices).segment(Scan(volume, (box,)), CPU)
        reach[slices] = {int(z) for z in np.flatnonzero((found[1] > -20).any(axis=(1, 2)))}
    assert reach[0] == {3}
    drawn = segmentor(place).segment(Scan(volume, (box,)), CPU)[1, 3] > 0
    assert drawn.any()
    assert reach[1] == {2, 3, 4}
    assert {2, 3, 4} <= reach[2] <= {1, 2, 3, 4, 5}


def test_boxes_that_come_in_while_a_structure_is_followed_are_kept_once(place):
    """A slice is yielded again with all its boxes when its neighbour asks for more."""
    image = sitk.GetImageFromArray(np.random.default_rng(0).normal(0, 100, (6, 60, 90)).astype(np.float32))
    mask = np.zeros((6, 60, 90), np.uint8)
    mask[2, 15:45, 20:70], mask[3, 10:50, 15:60] = 1, 2
    sitk.WriteImage(image, str(place / "image.nrrd"))
    files = (place / "image.nrrd",)
    case = PreparedCase(place, "case", "patient", "training", read_volume(files[0]).geometry, {}, files)
    case.arrays.prompt.save(mask)
    table = table_from_names({1: "organ 1", 2: "organ 2"})
    config = SamConfig(kind="sam", checkpoint=place / "sam.pth", path="plain", window=(-200, 200), propagate=1)
    network = make_network(config)
    load_weights(network, config)
    router = TokenRouter(2, 256).over(segmentor_over(network, config, table, None))
    router.keep(case, CPU)
    last = {asked.z: asked.boxes for asked in router.segmentor.slices(case.scan(), CPU)}
    assert {len(boxes) for boxes in last.values()} == {1, 2}
    kept = KeptSlices(case.folder).asked.load()
    expected = [(z, b.label, *b.rows, *b.columns) for z, boxes in last.items() for b in boxes]
    assert sorted(map(tuple, kept.tolist())) == sorted(expected)


def test_medsam_fills_the_square_and_scales_each_slice(place):
    sam = tiny_sam()
    gray = np.zeros((30, 60), np.uint8)
    gray[5:20, 10:40] = 90
    image = sam_slices.encoder_input(sam, gray, "medsam")
    assert image.shape == (3, 128, 128)
    assert (image.min(), image.max()) == (0, 1)
    frame = sam_slices.frame_of((30, 60), 128, "medsam")
    corners = frame.boxes([SliceBox(1, 0, (0, 30), (0, 60))])[0]
    np.testing.assert_allclose(corners, [0, 0, 59 / 60 * 128, 29 / 30 * 128], rtol=1e-6)
    assert frame.back(sam, torch.zeros(1, 1, 32, 32)).shape == (1, 1, 30, 60)


@pytest.mark.parametrize(
    ("changes", "boxes", "says"),
    [
        ({}, None, "give a mask as prompt, or draw boxes"),
        ({}, (SliceBox(7, 0, (0, 9), (0, 9)),), "label 7, which the model does not know"),
    ],
)
def test_boxes_that_cannot_be_used_are_a_line(place, changes, boxes, says):
    with pytest.raises(InputError, match=says) as refused:
        segmentor(place, **changes).segment(Scan(volume_of(), boxes), CPU)
    assert "\n" not in str(refused.value)


def test_a_prompt_that_holds_nothing_is_an_answer(place):
    found = segmentor(place).segment(Scan(volume_of(), ()), CPU)
    assert not found[0].any()
    assert (found[1] == -20).all()


def changed_prompt(prompted, tmp_path, change):
    """Copy of the list whose first training case has another prompt."""
    content = json.loads(prompted.read_text("utf-8"))
    change(content["training"][0])
    path = tmp_path / "other.json"
    path.write_text(json.dumps(content), "utf-8")
    return path


def test_another_prompt_is_another_training(place, prompted, lab, tmp_path):
    """What was kept for the boxes of one prompt is not used for those of another."""
    config = read_config(place / "train.toml")

    def stop(share, doing):
        if doing.startswith("router: step 1"):
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        lab.train(prompted, place / "model", config, progress=stop)
    shutil.rmtree(place / "model" / "work" / "router", ignore_errors=True)
    other = changed_prompt(prompted, tmp_path, lambda case: case.update(prompt=case["label"]))
    again, fresh = (lab.train(other, place / name, config) for name in ("model", "fresh"))
    a, b = (load_file(f / "model.safetensors") for f in (again, fresh))
    assert all(torch.equal(a[k], b[k]) for k in a)


def test_cases_that_do_not_say_where_to_look_are_found_at_once(place, prompted, lab, tmp_path):
    config = read_config(place / "train.toml")
    silent_case = changed_prompt(prompted, tmp_path, lambda case: case.pop("prompt"))
    with pytest.raises(InputError, match="give each case a prompt mask"):
        lab.train(silent_case, place / "model", config)
    assert not (place / "model").exists()


def test_a_prompt_that_shows_something_else_is_a_line(place, prompted, lab, tmp_path):
    first = read_datalist(prompted).training[0]
    mask = read_labels(first.prompt)
    path = tmp_path / "wrong.nii.gz"
    write_labels(path, (mask.array > 0).astype(np.uint8), mask.geometry, table_from_names({1: "lung"}))
    other = changed_prompt(prompted, tmp_path, lambda case: case.update(prompt=str(path)))
    with pytest.raises(InputError, match=r"wrong\.nii\.gz: holds lung, the model draws organ 1"):
        lab.train(other, place / "model", read_config(place / "train.toml"))


def test_settings_that_do_not_go_together_are_refused():
    for wrong, says in (
        ({"router": {"kind": "tokens"}}, "goes with a segmentor of kind sam"),
        ({"segmentor": {"kind": "sam"}, "data": {"spacing_mm": [1, 1, 1]}}, "the image's own voxels"),
        ({"segmentor": {"kind": "sam", "size": "vit_x"}}, "vit_b"),
        ({"segmentor": {"kind": "sam", "window": [240, -160]}}, "must rise"),
    ):
        with pytest.raises(ValueError, match=says):
            TrainConfig.model_validate(wrong)


def test_without_the_package_the_command_to_install_it_is_named(place, monkeypatch):
    monkeypatch.setitem(__import__("sys").modules, "segment_anything", None)
    with pytest.raises(MissingExtra, match=r"pip install 'napari-deferredseg\[model\]'"):
        make_network(SamConfig(kind="sam", checkpoint=place / "sam.pth"))


def test_the_published_size_loads_and_its_router_costs_little(tmp_path):
    """A checkpoint of ViT-B with random weights; operations are counted, not timed."""
    torch.manual_seed(0)
    made = segment_anything.sam_model_registry["vit_b"]()
    torch.save(made.state_dict(), tmp_path / "vit_b.pth")
    config = SamConfig(kind="sam", checkpoint=tmp_path / "vit_b.pth")
    with torch.device("meta"):
        network = make_network(config)
        router = TokenRouter(4, 256)
        image, corners = torch.zeros(1, 3, 1024, 1024), torch.zeros(1, 4)
        with FlopCounterMode(display=False) as base:
            embedding = network.image_encoder(image)[0]  # type: ignore[operator]
            low = _decoded(network, embedding)
        over = SamSegmentor(network, config, (1,), None, EmbeddingCache(Path(), 0))
        router.over(over)
        with FlopCounterMode(display=False) as extra:
            router(embedding, corners, _decoded(network, embedding).amax(dim=0, keepdim=True))
    assert low.shape[-2:] == (256, 256)
    assert extra.get_total_flops() <= 0.02 * base.get_total_flops()
    real = make_network(config)
    load_weights(real, config)
    state = real.state_dict()
    assert all(torch.equal(state[k], v) for k, v in made.state_dict().items())


def _decoded(sam, embedding):
    return decode_plain(sam, embedding, torch.zeros(1, 4))
