"""A whole training run: segmentor, cross-fitted predictions, router, calibration, policy, model folder."""

from __future__ import annotations

import hashlib
import json
import shutil
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np
from lightning.pytorch import seed_everything
from safetensors.torch import save
from scipy.special import softmax

from napari_deferredseg.core.errors import InputError
from napari_deferredseg.core.progress import Progress, Tell, silent, unsaid
from napari_deferredseg.deferral.data.domain import FILE as DOMAIN
from napari_deferredseg.deferral.data.domain import training_domain, write_domain
from napari_deferredseg.deferral.data.model_shape import ModelShape
from napari_deferredseg.deferral.data.patches import Cases
from napari_deferredseg.deferral.data.prepared import prepare
from napari_deferredseg.deferral.evaluation.judging import keep_logits
from napari_deferredseg.deferral.evaluation.selection import choose_policy
from napari_deferredseg.deferral.evaluation.track_record import track_records
from napari_deferredseg.deferral.model.card import write_card
from napari_deferredseg.deferral.model.maps import entropy_of
from napari_deferredseg.deferral.model.model import DeferralModel, new_networks, save_model, segmentor_of, weights_of
from napari_deferredseg.deferral.model.policy import Policy
from napari_deferredseg.deferral.model.scaling import Scaling, margin_of
from napari_deferredseg.deferral.model.spec import CARD, CONFIG, WEIGHTS, ModelSpec
from napari_deferredseg.deferral.networks.sliding import over_volume
from napari_deferredseg.deferral.routers.kept_slices import KeptSlices
from napari_deferredseg.deferral.routers.network import NetworkRouter
from napari_deferredseg.deferral.routers.tokens import TokenRouter
from napari_deferredseg.deferral.segmentors.adapters import adapter_of
from napari_deferredseg.deferral.training.fitting import Bench
from napari_deferredseg.deferral.training.objectives import JointObjective, RouterObjective, SegmentorObjective
from napari_deferredseg.deferral.training.ranks import together
from napari_deferredseg.deferral.training.scales import fit_scaling, fit_temperature, sample_voxels, voxels_of_each
from napari_deferredseg.deferral.training.token_objective import TokenObjective

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Sequence
    from pathlib import Path

    import torch
    from torch import nn

    from napari_deferredseg.core.datalist import Datalist
    from napari_deferredseg.core.volume import Array
    from napari_deferredseg.deferral.data.cases import Prepared, PreparedCase
    from napari_deferredseg.deferral.data.train_settings import RouterConfig, TrainConfig
    from napari_deferredseg.deferral.model.scaling import Temperature
    from napari_deferredseg.deferral.routers.base import Router
    from napari_deferredseg.deferral.segmentors.base import Segmentor
    from napari_deferredseg.deferral.training.objectives import Objective

WORK, RUN, LOG, CASES = "work", "run.json", "log", "cases"
DOUBT = 4.0  # margin below which the AI's label has less than 98 %
HALF = (-60_000.0, 60_000.0)  # float16 has no larger numbers


def train(
    datalist: Datalist,
    out: Path,
    config: TrainConfig,
    *,
    seed: int,
    device: torch.device,
    progress: Progress = silent,
    tell: Tell = unsaid,
) -> Path:
    """Train a model into a folder. A run that was cut off goes on where it was when started again alike.

    Started in several processes by `torchrun`, they train together, each on `device` or its own graphics card.

    Returns
    -------
    Path
        `out`, now a model folder.

    Raises
    ------
    InputError
        No training or validation cases, no experts, `out` holds something else, or data that cannot be used.
    """
    segmentor = adapter_of(config.segmentor.kind).completed(config.segmentor)
    config = config.model_copy(update={"segmentor": segmentor})
    if config.segmentor.PROMPTED:
        _require_prompts(datalist)
    with together(device) as ranks:
        told, said = (progress, tell) if ranks.is_first else (silent, unsaid)
        work, prepared = ranks.first_then_others(lambda: _prepared(datalist, out, config, seed, told, said))
        run = _Run(prepared, Bench(work, config, seed, ranks), config, seed)
        run.try_networks()
        model = run.joint(told) if config.mode == "joint" else run.two_stage(told)
        if ranks.is_first:
            model = run.with_policy(model, _part(told, 0.9, 0.98))
            told(0.98, "saving the model")
            records = track_records(prepared, prepared.split("validation"), seed)
            save_model(model, work, write_card(model.spec, datalist, prepared, records))
            _move_out(work, out)
        ranks.wait()
        told(1.0, "done")
    return out


def _require_prompts(datalist: Datalist) -> None:
    """Check before hours are spent that every case says where to look. InputError names one that does not."""
    missing = next((case for case in (*datalist.training, *datalist.validation) if case.prompt is None), None)
    if missing is not None:
        raise InputError(f"{missing.image[0]}: the segmentor must be told where to look; give each case a prompt mask")


def _prepared(
    datalist: Datalist, out: Path, config: TrainConfig, seed: int, progress: Progress, tell: Tell
) -> tuple[Path, Prepared]:
    """Folder of the unfinished run, and its cases."""
    _check(datalist, out)
    work = _workplace(out, config, seed)
    part = _part(progress, 0.0, 0.1)
    prepared = prepare(datalist, config.data, work / CASES, part, ("training", "validation"), tell=tell)
    if config.mode == "joint" and config.joint_loss == "script-as-written" and len(prepared.table.labels) > 1:
        raise InputError("joint_loss = 'script-as-written' knows one foreground label; choose 'dense-softmax'")
    _same_run(work / "data.json", _data_of(prepared), "data")
    write_domain(work, training_domain(prepared, config.data))
    return work, prepared


def _move_out(work: Path, out: Path) -> None:
    """Put a finished model into its folder; its description, which makes it one, comes last."""
    if (work / LOG).exists():
        shutil.rmtree(out / LOG, ignore_errors=True)
        (work / LOG).replace(out / LOG)
    for name in (WEIGHTS, CARD, DOMAIN, CONFIG):
        (work / name).replace(out / name)
    shutil.rmtree(work)


def _check(datalist: Datalist, out: Path) -> None:
    for split in ("training", "validation"):
        if not datalist.split(split):
            raise InputError(f"the list of cases has no {split} cases: give some")
    if not any(case.experts for case in datalist.training):
        raise InputError("no training case names an expert's mask: a router has nobody to route to")
    unfinished = (out / WORK / RUN).exists()
    if out.exists() and not unfinished and (not out.is_dir() or any(out.iterdir())):
        raise InputError(f"{out} holds files already: give a new folder for the model")


def _workplace(out: Path, config: TrainConfig, seed: int) -> Path:
    """Folder of the unfinished run; another run's is refused."""
    work = out / WORK
    work.mkdir(parents=True, exist_ok=True)
    _same_run(work / RUN, {"config": config.model_dump(mode="json"), "seed": seed}, "settings")
    return work


def _data_of(prepared: Prepared) -> dict[str, Any]:
    """What makes two lists of cases the same: voxels, readers, which cases are of one patient."""
    first: dict[str, int] = {}
    cases = [[case.key, first.setdefault(case.patient, number)] for number, case in enumerate(prepared.cases)]
    return {"digest": prepared.digest, "experts": prepared.experts, "cases": cases}


def _same_run(stamp: Path, content: dict[str, Any], what: str, start_anew: Callable[[], None] = lambda: None) -> None:
    """Keep what a run was started with. Another one starts anew, and is refused once something has been fitted."""
    text = json.dumps(content, sort_keys=True)
    if stamp.exists() and stamp.read_text(encoding="utf-8") == text:
        return
    if any(stamp.parent.glob("*.safetensors")) or any(stamp.parent.glob("*/*.ckpt")):
        raise InputError(f"{stamp.parent} holds an unfinished run with other {what}: delete it, or give them again")
    start_anew()
    stamp.write_text(text, encoding="utf-8")


def _part(progress: Progress, start: float, stop: float) -> Progress:
    return lambda share, doing: progress(start + share * (stop - start), doing)


@dataclass
class _Run:
    """The steps of one run. Several processes take them together: each works on its part, then waits."""

    prepared: Prepared
    bench: Bench
    config: TrainConfig
    seed: int

    def try_networks(self) -> None:
        """Find out before anything is fitted whether the networks take these patches."""
        segmentor, router = self._networks()
        self._over(segmentor).try_out()
        if router is not None:
            router.try_out(self.config.data.patch)

    def joint(self, progress: Progress) -> DeferralModel:
        """Fit one network for both."""
        network, _ = self._networks()
        objective = JointObjective(network, self.config.fit, self.config.joint_loss, self._classes)
        self._fit("joint", objective, _part(progress, 0.1, 0.9))
        self._keep_logits(network, self._validation)
        return DeferralModel(self._spec(self._temperature(self._validation), ()), self._over(network), None)

    def two_stage(self, progress: Progress) -> DeferralModel:
        """Fit the segmentor, then the router on predictions for images that the segmentor has not seen."""
        segmentor, router = self._networks()
        assert router is not None
        if not self.config.segmentor.TRAINED_HERE:
            return self._on_frozen(segmentor, router, progress)
        share = 0.6 / (self.config.folds + 1)
        unseen = self._cross_fitted(_part(progress, 0.1, 0.7 - share))
        self._fit(
            "segmentor",
            SegmentorObjective(segmentor, self.config.fit),
            _part(progress, 0.7 - share, 0.7),
        )
        self._keep_logits(segmentor, self._validation)
        temperature = self._temperature(self._validation)
        self._scale(self._training, unseen)
        self._scale(self._validation, temperature)
        return self._routed(self._over(segmentor), router, temperature, progress)

    def _on_frozen(self, network: nn.Module, router: Router, progress: Progress) -> DeferralModel:
        """Fit a router on what a segmentor that was trained elsewhere says."""
        segmentor = self._over(network.to(self.bench.ranks.device))
        router.over(segmentor)
        self.bench.ranks.first_then_others(lambda: self._forget_other_logits(network))
        cases = self.bench.ranks.own_part(self.prepared.cases)
        keep_logits(segmentor, cases, self.bench.ranks.device, _part(progress, 0.1, 0.7))
        for case in cases:
            router.keep(case, self.bench.ranks.device)
        self.bench.ranks.wait()
        temperature = self._temperature(self._validation)
        self._scale(self.prepared.cases, temperature)
        return self._routed(segmentor, router, temperature, progress)

    def _forget_other_logits(self, network: nn.Module) -> None:
        """What another segmentor said of the cases is not mixed with what this one says."""

        def forget() -> None:
            for case in self.prepared.cases:
                case.output.logits.remove()
                KeptSlices(case.folder).asked.remove()

        settings = self.config.without_paths().segmentor.model_dump(mode="json")
        weights = hashlib.blake2b(save(weights_of(network)), digest_size=16).hexdigest()
        said_by = {"settings": settings, "weights": weights}
        _same_run(self.bench.folder / "segmentor.json", said_by, "weights of the segmentor", forget)

    def _routed(
        self, segmentor: Segmentor, router: Router, temperature: Temperature, progress: Progress
    ) -> DeferralModel:
        """Fit the router on the scaled logits that are kept."""
        objective = _objective_of(router, self.config.router)
        self._fit("router", objective, _part(progress, 0.7, 0.9))
        return DeferralModel(self._spec(temperature, self._competence(router)), segmentor, router)

    @property
    def _shape(self) -> ModelShape:
        made = self.prepared
        return ModelShape(self.config, made.table, made.channels, len(made.experts))

    @property
    def _classes(self) -> int:
        return self._shape.classes

    @property
    def _training(self) -> list[PreparedCase]:
        return self.prepared.split("training")

    @property
    def _validation(self) -> list[PreparedCase]:
        return self.prepared.split("validation")

    def _networks(self) -> tuple[nn.Module, Router | None]:
        seed_everything(self.seed, verbose=False)
        network, router = new_networks(self._shape)
        adapter_of(self.config.segmentor.kind).load_weights(network, self.config.segmentor)
        return network, router

    def _over(self, network: nn.Module) -> Segmentor:
        return segmentor_of(self._shape, network)

    def _fit(self, name: str, objective: Objective[Any], progress: Progress) -> None:
        self.bench.fit(name, objective, Cases(self._training, self._validation), progress)

    def _keep_logits(self, network: nn.Module, cases: Sequence[PreparedCase]) -> None:
        """Keep what a network says of cases: class logits, and a joint network's agents after them."""
        for case in self.bench.ranks.own_part(cases):
            found = over_volume(network, case.arrays.image.load(), self.config.data, self.bench.ranks.device)
            case.output.logits.save(found.astype(np.float16))
        self.bench.ranks.wait()

    def _cross_fitted(self, progress: Progress) -> Temperature:
        """Keep logits of every training case by a segmentor that has not seen its patient; return their temperature."""
        folds = _folds(self._training, self.config.folds, self.seed)
        for number, fold in enumerate(folds):
            told = _part(progress, number / len(folds), (number + 1) / len(folds))
            network, _ = self._networks()
            held_out = {case.key for case in fold}
            rest = [case for case in self._training if case.key not in held_out]
            objective = SegmentorObjective(network, self.config.fit)
            self.bench.fit(f"fold {number + 1}", objective, Cases(rest, self._validation), told)
            self._keep_logits(network, fold)
        return self._temperature(self._training)

    def _temperature(self, cases: Sequence[PreparedCase]) -> Temperature:
        count = voxels_of_each(len(cases))
        return fit_temperature(self._sampled(case, count) for case in cases)

    def _sampled(self, case: PreparedCase, count: int) -> tuple[Array, Array]:
        """Logits (n, classes) and reference (n,) of some of the voxels where it is known."""
        index = sample_voxels(case.arrays.known.load(), self.seed, count)
        logits = case.output.logits.load()[: self._classes]
        return np.ascontiguousarray(logits.reshape(len(logits), -1)[:, index].T), case.arrays.reference.load().ravel()[
            index
        ]

    def _scale(self, cases: Sequence[PreparedCase], temperature: Temperature) -> None:
        for case in self.bench.ranks.own_part(cases):
            case.output.scaled.save(temperature(case.output.logits.load()).clip(*HALF).astype(np.float16))
        self.bench.ranks.wait()

    def _competence(self, router: Router) -> tuple[Scaling, ...]:
        """Scaling of each agent's one-versus-all logits on validation cases, half of the voxels where the AI doubts."""
        agents, count = len(self.prepared.experts) + 1, voxels_of_each(len(self._validation))
        seen: list[list[tuple[Array, Array, Array]]] = [[] for _ in range(agents)]
        for case in self._validation:
            scaled = case.output.scaled.load()
            own = router.route(case, scaled, self.config.data, self.bench.ranks.device).competence
            doubtful = margin_of(scaled.astype(np.float32)) < DOUBT
            doubt = entropy_of(softmax(scaled.astype(np.float32), axis=0)).ravel()
            for agent, (is_right, valid) in enumerate(_agents(case)):
                index = np.concatenate(
                    [
                        sample_voxels(valid, self.seed, count // 2),
                        sample_voxels(valid & doubtful, self.seed, count // 2),
                    ]
                )
                seen[agent].append((own[0, agent].numpy().ravel()[index], doubt[index], is_right.ravel()[index]))
        return tuple(fit_scaling(*map(np.concatenate, zip(*parts, strict=True))) for parts in seen)

    def _spec(self, temperature: Temperature, competence: tuple[Scaling, ...]) -> ModelSpec:
        return ModelSpec(
            name=self.bench.folder.parent.name,
            config=self.config.without_paths(),
            table=self.prepared.table,
            experts=self.prepared.experts,
            channels=self.prepared.channels,
            seed=self.seed,
            data_digest=self.prepared.digest,
            temperature=temperature,
            competence=competence,
            policy=Policy(),
        )

    def with_policy(self, model: DeferralModel, progress: Progress) -> DeferralModel:
        """Return the model with what validation chose."""
        policy = choose_policy(model, self._validation, self.bench.ranks.device, progress)
        return DeferralModel(model.spec.model_copy(update={"policy": policy}), model.segmentor, model.router)


def _agents(case: PreparedCase) -> Iterator[tuple[Array, Array]]:
    """Where each agent is right and where that is known, the AI first."""
    known = case.arrays.known.load()
    yield case.output.logits.load().argmax(axis=0) == case.arrays.reference.load(), known
    yield from zip(case.arrays.right.load(), case.arrays.valid.load(), strict=True)


def _objective_of(router: Router, config: RouterConfig) -> Objective[Any]:
    if isinstance(router, TokenRouter):
        return TokenObjective(router, config)
    assert isinstance(router, NetworkRouter)
    return RouterObjective(router, config)


def _folds(cases: Sequence[PreparedCase], count: int, seed: int) -> list[list[PreparedCase]]:
    """Cases in parts of about equal size; a patient is in one of them."""
    patients = sorted({case.patient for case in cases})
    if len(patients) < count:
        raise InputError(
            f"folds = {count}: there are {len(patients)} training patients; give fewer folds or more cases"
        )
    order = np.random.default_rng(seed).permutation(len(patients))
    part = {patients[p]: i % count for i, p in enumerate(order)}
    return [[case for case in cases if part[case.patient] == number] for number in range(count)]
