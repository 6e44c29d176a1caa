"""The family of errors: told apart by class alone, whole after a journey between processes."""

from __future__ import annotations

import pickle

import pytest

from napari_deferredseg.core.errors import DEFECT, MEMBERS, WRONG_COMMAND, DeferredSegError

CODES = {
    "InputError": 1,
    "Busy": 4,
    "Damaged": 5,
    "WorkerDied": 6,
    "NotAllowed": 7,
    "MissingExtra": 8,
    "Cancelled": 130,
}


def test_every_member_has_an_exit_code_of_its_own_that_stays():
    assert {member.__name__: member.exit_code for member in MEMBERS} == CODES
    assert not {0, WRONG_COMMAND, DEFECT} & set(CODES.values())


@pytest.mark.parametrize("member", MEMBERS)
def test_class_and_line_survive_pickling(member):
    error = member("scan.nii:  is \n empty")
    error.add_note("seen in the worker")
    again = pickle.loads(pickle.dumps(error))
    assert type(again) is member
    assert isinstance(again, DeferredSegError)
    assert str(again) == "scan.nii: is empty"
    assert again.__notes__ == ["seen in the worker"]


@pytest.mark.parametrize("member", MEMBERS)
def test_no_member_is_taken_for_another(member):
    assert [other for other in MEMBERS if issubclass(member, other)] == [member]
