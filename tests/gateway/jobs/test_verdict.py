"""What follows from the end of a run."""

from __future__ import annotations

import pytest

from contract import errors
from gateway.jobs.verdict import judge


def test_run_without_error_completes_the_job() -> None:
    assert judge(None, 2, 3).kind == "completed"


@pytest.mark.parametrize(
    "error", [errors.InvalidField, errors.ModelNotFound, errors.EngineFailed, errors.NeverFits, errors.KilledWorkers]
)
def test_error_that_stays_fails_the_job(error: type[errors.ServeError]) -> None:
    assert judge(error("x"), 0, 3).kind == "failed"


def test_model_that_cannot_be_loaded_as_it_is_fails_the_job() -> None:
    assert judge(errors.LoadFailed("x", details={"permanent": True}), 0, 3).kind == "failed"
    assert judge(errors.ModelGated("x"), 0, 3).kind == "failed"


@pytest.mark.parametrize("error", [errors.WorkerDied, errors.LoadFailed, errors.OutOfMemory])
def test_crash_is_tried_again_a_few_times(error: type[errors.ServeError]) -> None:
    verdicts = [judge(error("x"), failures, 3) for failures in range(3)]
    assert [verdict.kind for verdict in verdicts] == ["again", "again", "failed"]
    assert verdicts[0].counted
    assert verdicts[0].delay < verdicts[1].delay


@pytest.mark.parametrize(
    "error",
    [errors.ManagerUnreachable, errors.ShuttingDown, errors.QueueFull, errors.Evicted, errors.DeadlinePassed],
)
def test_trouble_of_the_server_never_fails_a_job(error: type[errors.ServeError]) -> None:
    verdict = judge(error("x", retry_after=7), 1000, 3)
    assert (verdict.kind, verdict.counted, verdict.delay) == ("again", False, 7)
