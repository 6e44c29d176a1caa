"""What arrives in the log, and what never does."""

from __future__ import annotations

import errno
import logging
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from napari_deferredseg.core import log as logs
from napari_deferredseg.core.errors import Damaged, InputError

SECRET = "Plantedname"
log = logging.getLogger("napari_deferredseg.somewhere")


@pytest.fixture
def file(tmp_path, whole_records):
    """Log of a test, as a path; the handlers of the process stay as they were."""
    logger = logging.getLogger(logs.PACKAGE)
    handlers, level = list(logger.handlers), logger.level
    logger.handlers = []
    yield logs.start_log(tmp_path / "logs")
    for handler in logger.handlers:
        handler.close()
    logger.handlers = handlers
    logger.setLevel(level)


def raised(error: BaseException, cause: BaseException | None = None) -> BaseException:
    try:
        raise error from cause
    except BaseException as caught:
        return caught


def test_a_failure_is_its_class_its_places_and_its_causes(file):
    cause = raised(OSError(errno.ENOSPC, "No space", f"/data/{SECRET}/ct.nii"))
    logs.log_failure(log, raised(Damaged(f"/data/{SECRET}.nii is damaged"), cause), "a run")
    told = file.read_text("utf-8")
    assert "ERROR" in told
    assert "a run failed" in told
    assert told.index("OSError (ENOSPC)") < told.index("which led to") < told.index("Damaged")
    assert SECRET not in told


def test_places_are_named_in_our_code_and_in_libraries_alone(file):
    try:
        logs.start_log(None)
    except Exception as error:
        logs.log_failure(log, error, "a run")
    told = file.read_text("utf-8")
    assert "napari_deferredseg/core/log.py:" in told
    assert "code from elsewhere" in told  # this file
    assert str(Path(__file__).parent) not in told


def test_what_a_user_can_mend_is_no_error(file):
    logs.log_failure(log, raised(InputError("no")), "a run")
    assert " INFO " in file.read_text("utf-8")


@given(text=st.text(min_size=1))
def test_no_message_of_an_exception_arrives(text):
    planted = f"{SECRET}{text}"
    error = raised(ValueError(planted), raised(InputError(planted)))
    error.add_note(planted)
    assert SECRET not in logs.scrubbed(error)


def test_arguments_are_numbers_and_classes_alone(file):
    log.warning("%s, %d, %.1f, %s, %s", SECRET, 3, 0.5, ValueError(SECRET), Path(SECRET))
    log.warning("%(who)s left", {"who": SECRET})
    told = file.read_text("utf-8")
    assert "[str], 3, 0.5, ValueError, [" in told
    assert "[str] left" in told
    assert SECRET not in told


def test_records_of_other_packages_never_arrive(file):
    log.warning("ours")
    logging.getLogger("pydicom").error("value %s", SECRET)
    assert SECRET not in file.read_text("utf-8")


def test_it_is_started_once(file, tmp_path):
    assert logs.start_log(tmp_path / "logs") == file == logs.log_file()
    log.warning("once")
    assert file.read_text("utf-8").count("once") == 1


def test_nothing_is_written_before_there_is_something_to_say(file):
    assert not file.exists()


def test_a_folder_that_cannot_be_made_is_no_error(file, tmp_path):
    (tmp_path / "taken").write_bytes(b"")
    assert logs.start_log(tmp_path / "taken") is None
    assert logs.start_log(tmp_path / "taken" / "below") is None
    log.warning("to nobody")


def test_it_turns_over_and_does_not_grow_without_end(file, monkeypatch):
    (handler,) = logging.getLogger(logs.PACKAGE).handlers
    monkeypatch.setattr(handler, "maxBytes", 2000)
    for number in range(200):
        log.warning("line %d", number)
    found = list(file.parent.iterdir())
    assert len(found) == 1 + logs.BACKUPS
    assert all(path.stat().st_size <= 2000 for path in found)


def test_warnings_are_shown_and_failures_are_left_to_who_tells_of_them(file):
    shown: list[str] = []
    with logs.Shown(shown.append) as terminal:
        log.info("quiet")
        log.warning("a draft stays")
        logs.log_failure(log, raised(ValueError(SECRET)), "a run")
        assert shown == ["deferredseg: a draft stays"]
        terminal.tell_all()
        log.info("loud")
        logs.log_failure(log, raised(ValueError(SECRET)), "a run")
    log.warning("after")
    assert "loud" in shown[1]
    assert "ValueError" in shown[2]
    assert len(shown) == 3
    assert SECRET not in " ".join(shown)
