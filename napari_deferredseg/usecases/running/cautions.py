"""What somebody should know of a run before its regions are believed or handed out."""

from __future__ import annotations

from datetime import date
from typing import TYPE_CHECKING

from napari_deferredseg.core.errors import InputError
from napari_deferredseg.core.records import Role
from napari_deferredseg.core.volume import default_label, labels_present
from napari_deferredseg.usecases.running.predict import LEFT_OUT
from napari_deferredseg.usecases.running.route import minutes_waiting

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from napari_deferredseg.core.prediction import Prediction
    from napari_deferredseg.core.records import Assignment
    from napari_deferredseg.core.volume import LabelTable
    from napari_deferredseg.usecases.project import Project


def cautions(project: Project, prediction: Prediction, assignments: Sequence[Assignment] = ()) -> tuple[str, ...]:
    """Sentences, mostly none: what a run fell short of, nameless labels, unknown specialities, full days, admins."""
    settings_said = (*_fell_back(prediction), *_in_vain(prediction), *_nameless(prediction))
    return (
        *settings_said,
        *_other_names(project, prediction),
        *_unknown_specialities(project, prediction),
        *_overfull(project),
        *_out(project),
        *_admins(project, assignments),
    )


def require_same_meaning(project: Project, case_key: str, table: LabelTable) -> None:
    """Check that what readers have submitted for a case would still mean the same under another table of labels.

    Raises
    ------
    InputError
        A label value that they used has another name now: their corrections would be exported under a wrong label.
    """
    if all(known.key != case_key for known in project.store.cases()):
        return
    before = project.store.prediction(case_key).table
    for correction in project.store.corrections(case_key=case_key):
        for value in labels_present(correction.after[correction.support]):
            old, new = before.name(value), table.name(value)
            if old.casefold() != new.casefold():
                raise InputError(
                    f"{case_key} has corrections in which label {value} is {old!r}, here it is {new!r}: they would get "
                    "a wrong name; run this in another project, or number and name the labels alike"
                )


def _fell_back(prediction: Prediction) -> Iterator[str]:
    if prediction.settings.get("fell_back"):
        yield (
            "On its validation cases this model was no better than entropy with the best single reader, and does no "
            "more than that."
        )


def _in_vain(prediction: Prediction) -> Iterator[str]:
    if names := prediction.settings.get(LEFT_OUT):
        yield f"The prompt also shows {names}, which this model does not draw."


def _nameless(prediction: Prediction) -> Iterator[str]:
    labels = prediction.table.labels
    if labels and all(label == default_label(label.value) for label in labels):
        yield "The labels have no names: a small table beside the mask gives them (MASK.labels.csv: value,name)."


def _other_names(project: Project, prediction: Prediction) -> Iterator[str]:
    """One sentence where an earlier case has another name for a label, or another label for a name."""
    table = prediction.table
    values = {label.name.casefold(): label.value for label in table.labels}
    for case in project.store.cases():
        for label in project.store.prediction(case.key).table.labels:
            here = values.get(label.name.casefold(), label.value)
            renamed = label.value in table and table.name(label.value).casefold() != label.name.casefold()
            if renamed or here != label.value:
                at = label.value if renamed else here
                yield (
                    f"Label {at} is {table.name(at)!r} here, label {label.value} is {label.name!r} in {case.key}: the "
                    "two cannot be exported as one data set."
                )
                return


def _unknown_specialities(project: Project, prediction: Prediction) -> Iterator[str]:
    names = {label.name.casefold() for label in prediction.table.labels}
    for reader in (x for x in project.store.readers() if x.is_routed_to):
        unknown = [s for s in reader.specialities if s.strip().casefold() not in names]
        if unknown:
            yield f"No label here is called {', '.join(unknown)}, the speciality of {reader.login}."


def _out(project: Project) -> Iterator[str]:
    """Who would have been asked, but is away; and who has stopped with regions still theirs."""
    waiting, today = minutes_waiting(project), date.today()
    for reader in project.store.readers():
        if reader.is_routed_to and reader.is_absent(today):
            yield f"{reader.login} is absent until {reader.absent_to} and got nothing."
        elif not reader.active and reader.login in waiting:
            yield (
                f"{waiting[reader.login]:.0f} min wait for {reader.login}, who was deactivated: send them to others in "
                "Defer to expert."
            )


def _overfull(project: Project) -> Iterator[str]:
    waiting = minutes_waiting(project)
    for reader in project.store.readers():
        minutes = waiting.get(reader.login, 0.0)
        if minutes > reader.capacity and reader.is_routed_to:
            yield f"{minutes:.0f} min wait for {reader.login}, whose day has {reader.capacity:.0f}."


def _admins(project: Project, assignments: Sequence[Assignment]) -> Iterator[str]:
    """Admins with minutes a day read; in projects of before roles held they may have them without meaning to."""
    for reader in (x for x in project.store.readers() if x.role is Role.ADMIN):
        if count := sum(x.reader == reader.login for x in assignments):
            yield (
                f"{reader.name} is an admin and gets {count} region{'' if count == 1 else 's'}, as {reader.capacity:g} "
                "min a day say: set 0 minutes where that is not meant."
            )
