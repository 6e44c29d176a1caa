"""The steps of a training run: segmentor, cross-fitted predictions, router, calibration, policy."""

from __future__ import annotations

import hashlib
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np
from lightning.pytorch import seed_everything
from safetensors.torch import save
from scipy.special import softmax

from napari_deferredseg.core.errors import InputError
from napari_deferredseg.deferral.data.model_shape import ModelShape
from napari_deferredseg.deferral.data.patches import Cases
from napari_deferredseg.deferral.evaluation.judging import keep_logits
from napari_deferredseg.deferral.evaluation.selection import choose_policy
from napari_deferredseg.deferral.model.maps import entropy_of
from napari_deferredseg.deferral.model.model import DeferralModel, new_networks, segmentor_of, weights_of
from napari_deferredseg.deferral.model.policy import Policy
from napari_deferredseg.deferral.model.scaling import Scaling, margin_of
from napari_deferredseg.deferral.model.spec import ModelSpec
from napari_deferredseg.deferral.networks.sliding import over_volume
from napari_deferredseg.deferral.routers.kept_slices import KeptSlices
from napari_deferredseg.deferral.routers.network import NetworkRouter
from napari_deferredseg.deferral.routers.tokens import TokenRouter
from napari_deferredseg.deferral.segmentors.adapters import adapter_of
from napari_deferredseg.deferral.training.objectives import JointObjective, RouterObjective, SegmentorObjective
from napari_deferredseg.deferral.training.scales import fit_scaling, fit_temperature, sample_voxels, voxels_of_each
from napari_deferredseg.deferral.training.token_objective import TokenObjective
from napari_deferredseg.deferral.training.workplace import same_run

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from torch import nn

    from napari_deferredseg.core.progress import Progress
    from napari_deferredseg.core.volume import Array
    from napari_deferredseg.deferral.data.cases import Prepared, PreparedCase
    from napari_deferredseg.deferral.data.train_settings import RouterConfig, TrainConfig
    from napari_deferredseg.deferral.model.scaling import Temperature
    from napari_deferredseg.deferral.routers.base import Router
    from napari_deferredseg.deferral.segmentors.base import Segmentor
    from napari_deferredseg.deferral.training.fitting import Bench
    from napari_deferredseg.deferral.training.objectives import Objective

DOUBT = 4.0  # margin below which the AI's label has less than 98 %
HALF = (-60_000.0, 60_000.0)  # float16 has no larger numbers


def part_of(progress: Progress, start: float, stop: float) -> Progress:
    """Progress of a part of the work, from a share to another."""
    return lambda share, doing: progress(start + share * (stop - start), doing)


@dataclass
class Run:
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
        self._fit("joint", objective, part_of(progress, 0.1, 0.9))
        self._keep_logits(network, self._validation)
        return DeferralModel(self._spec(self._temperature(self._validation), ()), self._over(network), None)

    def two_stage(self, progress: Progress) -> DeferralModel:
        """Fit the segmentor, then the router on predictions for images that the segmentor has not seen."""
        segmentor, router = self._networks()
        assert router is not None
        if not self.config.segmentor.TRAINED_HERE:
            return self._on_frozen(segmentor, router, progress)
        share = 0.6 / (self.config.folds + 1)
        unseen = self._cross_fitted(part_of(progress, 0.1, 0.7 - share))
        self._fit(
            "segmentor",
            SegmentorObjective(segmentor, self.config.fit),
            part_of(progress, 0.7 - share, 0.7),
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
        keep_logits(segmentor, cases, self.bench.ranks.device, part_of(progress, 0.1, 0.7))
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
        same_run(self.bench.folder / "segmentor.json", said_by, "weights of the segmentor", forget)

    def _routed(
        self, segmentor: Segmentor, router: Router, temperature: Temperature, progress: Progress
    ) -> DeferralModel:
        """Fit the router on the scaled logits that are kept."""
        objective = _objective_of(router, self.config.router)
        self._fit("router", objective, part_of(progress, 0.7, 0.9))
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
            told = part_of(progress, number / len(folds), (number + 1) / len(folds))
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
