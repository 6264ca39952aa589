"""Webhooks of jobs: a receiver on this machine, and a clock that the test sets."""

from __future__ import annotations

import json
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import pytest
from aiohttp import web

from contract.addresses import AddressRule
from contract.errors import InvalidField
from contract.webhooks import signed_headers
from gateway.jobs.job import Job, JobResult, StoredRequest, Submission
from gateway.jobs.store import JobStore
from gateway.jobs.webhooks import DELAYS, TIMEOUT, Webhooks

SECRET = "whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw"
LOOPBACK = AddressRule(["127.0.0.0/8"])


class Receiver:
    """A web server that keeps the calls that it gets; `statuses` are its next answers, then 204."""

    def __init__(self) -> None:
        self.calls: list[tuple[dict[str, str], bytes]] = []
        self.statuses: list[int] = []
        self.url = ""

    async def handle(self, request: web.Request) -> web.Response:
        self.calls.append(({name.lower(): value for name, value in request.headers.items()}, await request.read()))
        status = self.statuses.pop(0) if self.statuses else 204
        return web.Response(status=status, headers={"location": self.url} if status == 302 else {})


class House:
    """A store with a clock, and the sender of its webhooks."""

    def __init__(self, folder: Path) -> None:
        self.now = 1000.0
        self.folder = folder
        self.store = JobStore(folder, 20, clock=lambda: self.now)
        self.webhooks = Webhooks(self.store, LOOPBACK, SECRET, lambda: self.now)

    async def ended(self, url: str) -> Job:
        """A job that is completed, whose webhook is due."""
        request = StoredRequest("/v1/chat/completions", "", [], b"{}")
        submission = Submission("key:a", "chat", "m", request, webhook=url, webhook_secret=SECRET)
        await self.store.add(submission)
        [run] = (await self.store.turn(lambda _: 9, 30)).runs
        job = run.job
        await self.webhooks.send_due()  # nothing is sent before the end
        assert await self.store.complete(job, JobResult(200, "application/json", 2, b"{}"))
        return await self.store.get("key:a", job.id)

    async def look(self, job: Job) -> Job:
        return await self.store.get("key:a", job.id)


@pytest.fixture
async def receiver() -> AsyncIterator[Receiver]:
    receiver, app = Receiver(), web.Application()
    app.router.add_post("/hook", receiver.handle)
    runner = web.AppRunner(app)
    await runner.setup()
    site = web.TCPSite(runner, "127.0.0.1", 0)
    await site.start()
    receiver.url = f"http://127.0.0.1:{runner.addresses[0][1]}/hook"
    yield receiver
    await runner.cleanup()


@pytest.fixture
async def house(tmp_path: Path) -> AsyncIterator[House]:
    house = House(tmp_path)
    await house.store.open()
    yield house
    await house.store.close()


async def test_signed_call_follows_the_end_once(house: House, receiver: Receiver) -> None:
    job = await house.ended(receiver.url)
    await house.webhooks.send_due()
    await house.webhooks.send_due()
    [(headers, body)] = receiver.calls
    message: dict[str, Any] = json.loads(body)
    assert (message["type"], message["data"]["job_id"]) == ("job.completed", job.id)
    assert message["data"]["result_url"] == f"/jobs/{job.id}/result"
    assert SECRET not in body.decode()
    signed = signed_headers(SECRET, headers["webhook-id"], 1000, body)
    assert {name: headers[name] for name in signed} == signed
    seen = await house.look(job)
    assert (seen.webhook_attempts, seen.webhook_sent, seen.webhook_error) == (1, 1000.0, None)


async def test_failed_calls_are_repeated_with_the_same_id(house: House, receiver: Receiver) -> None:
    receiver.statuses = [500, 302]
    job = await house.ended(receiver.url)
    for delay in (0, *DELAYS[:2]):
        if delay:
            house.now += delay - 0.5
            await house.webhooks.send_due()  # too early
            house.now += 0.5
        await house.webhooks.send_due()
    assert len(receiver.calls) == 3
    assert len({headers["webhook-id"] for headers, _ in receiver.calls}) == 1
    assert [int(headers["webhook-timestamp"]) for headers, _ in receiver.calls] == [1000, 1005, 1065]
    assert (await house.look(job)).webhook_sent == 1065
    await house.webhooks.send_due()
    assert len(receiver.calls) == 3


async def test_attempts_go_on_after_a_restart(house: House, receiver: Receiver) -> None:
    job = await house.ended(receiver.url)
    assert [due.id for due, _ in await house.store.claim_webhooks(9, 2 * TIMEOUT)] == [job.id]
    await house.store.close()  # the gateway dies before it knows the answer
    again = House(house.folder)
    again.now = house.now + 2 * TIMEOUT
    await again.store.open()
    await again.webhooks.send_due()
    assert len(receiver.calls) == 1
    assert (await again.look(job)).webhook_attempts == 2
    await again.store.close()


@pytest.mark.parametrize("status", [500, 410])
async def test_gives_up_in_the_end(house: House, receiver: Receiver, status: int) -> None:
    receiver.statuses = [status] * 99
    job = await house.ended(receiver.url)
    for delay in (*DELAYS, 10**6):
        await house.webhooks.send_due()
        house.now += delay
    await house.webhooks.send_due()
    assert len(receiver.calls) == (1 if status == 410 else len(DELAYS) + 1)
    assert (await house.look(job)).webhook_error == f"it answered with status {status}"
    assert await house.store.prune(0, 10**9) == [job.id]


async def test_job_is_kept_until_its_webhook_is_sent(house: House, receiver: Receiver) -> None:
    job = await house.ended(receiver.url)
    house.now += 10
    assert await house.store.prune(0, 10**9) == []
    await house.webhooks.send_due()
    assert await house.store.prune(0, 10**9) == [job.id]


async def test_unreachable_receiver_is_tried_again(house: House) -> None:
    job = await house.ended("http://127.0.0.1:9/hook")
    await house.webhooks.send_due()
    assert (await house.look(job)).webhook_error == "Connection refused"
    assert await house.store.seconds_to_webhook(99) == DELAYS[0]


async def test_name_with_a_private_address_is_never_called(tmp_path: Path, receiver: Receiver) -> None:
    house = House(tmp_path)
    house.webhooks = Webhooks(house.store, AddressRule(), SECRET, lambda: house.now)
    await house.store.open()
    named = await house.ended(receiver.url.replace("127.0.0.1", "localhost"))
    await house.webhooks.send_due()
    assert (await house.look(named)).webhook_error == "the address is not public"
    assert await house.store.seconds_to_webhook(99) == 99, "it is not tried again"
    assert receiver.calls == []
    await house.store.close()


@pytest.mark.parametrize(
    ("url", "why"),
    [
        ("http://127.0.0.1:8000/x", "not public"),
        ("http://2130706433/x", "not public"),
        ("http://[::1]/x", "not public"),
        ("ftp://127.0.0.1/x", "http or https"),
        ("http:///x", "http or https"),
        ("http://127.0.0.1:x/", "http or https"),
        ("http://user@127.0.0.1/x", "without a user"),
        ("http://127.0.0.1/\t", "http or https"),
        (f"http://127.0.0.1/{'x' * 2048}", "2048 characters"),
    ],
)
def test_refuses_urls_that_may_not_be_called(url: str, why: str) -> None:
    request = StoredRequest("/v1/chat/completions", "", [], b"{}")
    webhooks = Webhooks(JobStore(Path("unused"), 1), AddressRule(), SECRET, lambda: 0.0)
    with pytest.raises(InvalidField, match=why):
        webhooks.checked(Submission("", "chat", "m", request, webhook=url))


def test_unsigned_webhooks_are_refused() -> None:
    request = StoredRequest("/v1/chat/completions", "", [], b"{}")
    webhooks = Webhooks(JobStore(Path("unused"), 1), LOOPBACK, "", lambda: 0.0)
    with pytest.raises(InvalidField, match=r"jobs\.webhook_secret"):
        webhooks.checked(Submission("", "chat", "m", request, webhook="http://127.0.0.1/x"))
