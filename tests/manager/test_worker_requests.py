"""A request whose worker died is answered, and may be repeated, once no request gets that worker any more."""

from __future__ import annotations

import asyncio
import json
from typing import Any, cast

from contract.config import ModelSpec
from contract.status import State
from manager.state.process import Placement, Process
from manager.state.worker import Worker
from manager.worker_requests import send_worker_died


class EndedProcess:
    """A process that has ended."""

    async def wait(self) -> int:
        return -9

    def log_tail(self) -> str:
        return "the last line"


async def test_retry_begins_after_the_worker_is_retired() -> None:
    spec = ModelSpec(id="m", engine="fake")
    worker = Worker("m", 1, spec, Placement("cpu", "float32"), expected=1, default_idle_timeout=60)
    worker.process = cast("Process", EndedProcess())
    for state in (State.STARTING, State.READY):
        worker.move_to(state)
    sent: list[Any] = []

    async def send(message: Any) -> None:
        sent.append(message)

    answering = asyncio.create_task(send_worker_died(send, worker, OSError("closed"), "id"))
    for _ in range(20):
        await asyncio.sleep(0)
    assert not sent
    worker.move_to(State.STOPPING)
    await answering
    assert (b"x-enginehouse-retry", b"1") in sent[0]["headers"]
    assert json.loads(sent[1]["body"])["error"]["details"]["exit_code"] == -9
