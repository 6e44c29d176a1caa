from __future__ import annotations

import importlib.util
import itertools
from dataclasses import dataclass, field, fields, replace
from datetime import UTC, datetime, timedelta
from pathlib import Path
from types import ModuleType
from typing import TYPE_CHECKING

import numpy as np
import pytest

from napari_deferredseg.core.geometry import Geometry
from napari_deferredseg.core.records import (
    Assignment,
    CaseRecord,
    Correction,
    Origin,
    PredictionRecord,
    Reader,
    Region,
    Verdict,
    new_id,
    utc_now,
)
from napari_deferredseg.core.volume import table_from_names
from napari_deferredseg.store.drafts.journal import Draft
from napari_deferredseg.store.sql import create_sqlite, open_sqlite

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from napari_deferredseg.store.base import Store

SHAPE = (20, 30, 40)


class Clock:
    """A computer's clock that stands still until somebody moves it."""

    def __init__(self) -> None:
        self.now = utc_now()

    def __call__(self) -> datetime:
        return self.now

    def go(self, **by: float) -> None:
        """Move it, backwards too: ``clock.go(minutes=-5)``."""
        self.now += timedelta(**by)


@dataclass
class Make:
    """Valid records, small and all different."""

    numbers: Iterator[int] = field(default_factory=lambda: itertools.count(1))

    def case(self, key: str = "case-1", **changes: object) -> CaseRecord:
        geometry = Geometry(shape=SHAPE, spacing=(0.7, 0.8, 2.5), origin=(-1.5, 2.25, 1e-3))
        facts = {"key": key, "geometry": geometry, "voxel_hash": f"hash of {key}", "source": f"{key}.nii.gz"}
        return CaseRecord(**(facts | changes))

    def prediction(self, case: CaseRecord) -> PredictionRecord:
        return PredictionRecord(
            id=new_id(),
            case_key=case.key,
            model_id="external",
            table=table_from_names({1: "liver", 2: "Leberläsion"}),
            labels_hash="x",
            alternative_hash="y",
            defer_hash="z",
            settings={"budget": 0.1, "unit": "voxels", "seed": 3, "smooth": True},
        )

    def region(self, prediction: PredictionRecord, number: int | None = None, **changes: object) -> Region:
        number = next(self.numbers) if number is None else number
        box = ((1, 4), (2, 7), (3, 6))
        mask = np.random.default_rng(number).random((3, 5, 3)) < 0.5
        region = Region(
            id=new_id(),
            case_key=prediction.case_key,
            prediction_id=prediction.id,
            number=number,
            labels=(2, 1),
            box=box,
            mask=mask,
            volume=12.5,
            center=(0.1, -0.2, 3.0),
            gain=1 / 3,
            minutes=1.5,
            scores=(0.25, 0.5),
            note="näher ansehen",
        )
        return replace(region, **changes)

    def run(
        self, store: Store, case: CaseRecord, regions: int = 1, *, reader: str | None = None, group: str | None = None
    ) -> list[Region]:
        """Add a prediction with regions, all for one reader or group."""
        prediction = self.prediction(case)
        made = [self.region(prediction) for _ in range(regions)]
        given = [Assignment(region_id=r.id, reader=reader, group=group) for r in made]
        assert store.add_prediction(case, prediction, made, given)
        return made

    def drawn(self, prediction: PredictionRecord, **changes: object) -> Region:
        return self.region(prediction, origin=Origin.DRAWN, **changes)

    def correction(self, region: Region, reader: str, seed: int = 0, **changes: object) -> Correction:
        rng = np.random.default_rng(seed)
        shape = region.mask.shape
        before = rng.integers(0, 3, shape).astype(np.uint8)
        support = region.mask | (rng.random(shape) < 0.3)
        after = np.where(support, rng.integers(0, 3, shape).astype(np.uint8), before)
        correction = Correction(
            id=new_id(),
            region_id=region.id,
            case_key=region.case_key,
            reader=reader,
            model_id="external",
            voxel_hash=f"hash of {region.case_key}",
            started=datetime(2024, 5, 1, 8, 0, 0, 123456, UTC),
            submitted=utc_now(),
            active_seconds=0.1 + 0.2,
            verdict=Verdict.EDITED,
            box=region.box,
            before=before,
            after=after,
            support=support,
            note="Rand unscharf",
        )
        return replace(correction, **changes)

    def draft(self, seed: int = 0, **changes: object) -> Draft:
        rng = np.random.default_rng(seed)
        draft = Draft(
            region_id="ab12",
            case_key="case-1",
            reader="anna",
            voxel_hash="h",
            model_id="external",
            started=datetime(2024, 5, 1, 8, 0, 0, 1, UTC),
            active_seconds=float(seed),
            saved=utc_now(),
            box=((0, 4), (2, 8), (1, 9)),
            before=rng.integers(0, 300, (4, 6, 8)).astype(np.uint16),
            after=rng.integers(0, 300, (4, 6, 8)).astype(np.uint16),
            note="größer",
        )
        return replace(draft, **changes)

    @staticmethod
    def same(a: object, b: object) -> bool:
        """Whether two dataclasses with arrays are equal, dtypes included."""

        def equal(x: object, y: object) -> bool:
            if isinstance(x, np.ndarray):
                return x.dtype == y.dtype and np.array_equal(x, y)
            return bool(x == y)

        return type(a) is type(b) and all(equal(getattr(a, f.name), getattr(b, f.name)) for f in fields(a))


@pytest.fixture(scope="session")
def make() -> Make:
    return Make()


@pytest.fixture
def clock() -> Clock:
    """What the computer's clock says to all stores of a test."""
    return Clock()


@pytest.fixture(scope="session")
def forge() -> ModuleType:
    """The module of forgeries beside this file: tests import no other tests."""
    spec = importlib.util.spec_from_file_location("forge", Path(__file__).with_name("forge.py"))
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


@pytest.fixture(params=["sqlite"])
def store_factory(request: pytest.FixtureRequest, tmp_path: Path, clock: Clock) -> Iterator[Callable[[], Store]]:
    """Callable that gives a new connection to one and the same database."""
    made: list[Store] = []
    path = tmp_path / "store.sqlite"
    create_sqlite(path).close()

    def connect() -> Store:
        made.append(open_sqlite(path, clock=clock))
        return made[-1]

    yield connect
    for one in made:
        one.close()


@pytest.fixture
def store(store_factory: Callable[[], Store]) -> Store:
    """A database with three readers: anna and ben are in the group liver, lea leads."""
    opened = store_factory()
    opened.add_reader(Reader(login="anna", name="Dr. Anna Berg", groups=("liver",), specialities=("liver",)))
    opened.add_reader(Reader(login="ben", name="Ben", groups=("liver", "lung"), capacity=12.5))
    opened.add_reader(Reader(login="lea", name="Lea", role="lead"))
    return opened
