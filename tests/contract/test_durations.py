"""`keep_alive` takes seconds and durations, whatever the task, and refuses everything else with an example."""

from __future__ import annotations

from typing import Any

import pytest
from pydantic import TypeAdapter, ValidationError

from contract.durations import Duration
from contract.tasks import all_tasks

READER: TypeAdapter[float | None] = TypeAdapter(Duration)


@pytest.mark.parametrize(
    ("value", "seconds"),
    [
        (0, 0), ("0", 0), (7.5, 7.5), ("7.5", 7.5), ("90", 90), (" 5m ", 300), ("24h", 86400), ("1h30m", 5400),
        ("1.5h", 5400), ("300ms", 0.3), ("2d", 172800), (-1, -1), ("-1", -1), (-300, -1), ("-1m", -1), (None, None),
        ("", None),
    ],
)  # fmt: skip
def test_reads_seconds_and_durations(value: Any, seconds: float | None) -> None:
    assert READER.validate_python(value) == seconds


@pytest.mark.parametrize("value", ["5 minutes", "5m!", "m", "1h 30m", "--1", "nan", "inf", "9" * 60, [], {}])
def test_refuses_what_is_no_duration(value: Any) -> None:
    with pytest.raises(ValidationError):
        READER.validate_python(value)


@pytest.mark.parametrize("task", all_tasks().values(), ids=all_tasks())
def test_every_task_takes_them(task: Any) -> None:
    field = task.request.model_fields["keep_alive"]
    assert task.request.model_json_schema()["properties"]["keep_alive"]["anyOf"][1]["type"] == "string"
    assert field.default is None
