"""All requests that ask at about the same time what they wait for share one question to the manager."""

from __future__ import annotations

import asyncio

from contract.errors import ManagerUnreachable
from gateway.forwarding.wait_reports import WaitReports, Waits


class Manager:
    """Knows that some requests wait, and counts questions."""

    def __init__(self, *waiting: str, is_gone: bool = False) -> None:
        self.waiting, self.is_gone = waiting, is_gone
        self.questions: list[list[str]] = []

    async def answer(self, requests: list[str]) -> Waits:
        self.questions.append(requests)
        if self.is_gone:
            raise ManagerUnreachable("gone")
        return {id_: {"message": f"{id_} waits"} for id_ in requests if id_ in self.waiting}


async def test_many_share_one_question() -> None:
    manager = Manager(*map(str, range(1000)))
    reports = WaitReports(manager.answer)
    answers = await asyncio.gather(*(reports.of(str(number), 0.01) for number in range(1001)))
    assert answers[:1000] == [{"message": f"{number} waits"} for number in range(1000)]
    assert answers[1000] is None
    assert len(manager.questions) == 1
    assert await reports.of("7", 0) == {"message": "7 waits"}
    assert len(manager.questions) == 2


async def test_request_that_gives_up_does_not_disturb_the_others() -> None:
    manager = Manager("a", "b")
    reports = WaitReports(manager.answer)
    first, second = (asyncio.create_task(reports.of(id_, 0.01)) for id_ in "ab")
    await asyncio.sleep(0)
    first.cancel()
    assert await second == {"message": "b waits"}


async def test_manager_that_does_not_answer_says_nothing() -> None:
    reports = WaitReports(Manager("a", is_gone=True).answer)
    assert await reports.of("a", 0) is None
