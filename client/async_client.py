"""The asynchronous client: `await AsyncClient("http://localhost:8000").detect("photo.jpg", "a cat")`."""

from __future__ import annotations

import asyncio
import functools
from collections.abc import AsyncIterator, Callable, Coroutine, Mapping
from contextlib import suppress
from typing import Any, Concatenate, ParamSpec, TypeVar

import httpx2

from client import calls
from client.call import ApiCall, EventCall, body_of, parse, plain
from client.connection import Connection
from client.errors import ServerError, error_in, unreachable
from client.loading import LoadReport, OnProgress

Arguments = ParamSpec("Arguments")
Answer = TypeVar("Answer")
"""What a call returns."""


def _awaiting(
    build: Callable[Arguments, ApiCall[Answer]],
) -> Callable[Concatenate[AsyncClient, Arguments], Coroutine[Any, Any, Answer]]:
    """A method that performs the call."""

    async def method(self: AsyncClient, /, *args: Arguments.args, **kwargs: Arguments.kwargs) -> Answer:
        return await self.perform(build(*args, **kwargs))

    functools.update_wrapper(method, build)
    return method


def _streaming(
    build: Callable[Arguments, EventCall[Answer]],
) -> Callable[Concatenate[AsyncClient, Arguments], AsyncIterator[Answer]]:
    """A method that performs the call and yields what its events report."""

    def method(self: AsyncClient, /, *args: Arguments.args, **kwargs: Arguments.kwargs) -> AsyncIterator[Answer]:
        return self.stream(build(*args, **kwargs))

    functools.update_wrapper(method, build)
    return method


class AsyncClient:
    """Calls a server. Every method raises ServerError, with the server's own message.

    `base_url` and `api_key` default to ENGINEHOUSE_URL and ENGINEHOUSE_KEY. `timeout` is in seconds: a model that does
    not run yet is loaded, or even downloaded, first. Use it in an `async with` block, or call `close`.
    """

    def __init__(self, base_url: str | None = None, api_key: str | None = None, *, timeout: float = 600) -> None:
        self._connection = Connection.to(base_url, api_key, timeout)
        self._http = httpx2.AsyncClient(**self._connection.options)

    @property
    def base_url(self) -> str:
        """The server's address."""
        return self._connection.base_url

    async def __aenter__(self) -> AsyncClient:
        return self

    async def __aexit__(self, *_: object) -> None:
        await self.close()

    async def close(self) -> None:
        """Close the connections."""
        await self._http.aclose()

    chat = _awaiting(calls.chat.chat)
    stream_chat = _streaming(calls.chat.stream_chat)
    embed = _awaiting(calls.embeddings.embed)
    rerank = _awaiting(calls.ranking.rerank)
    draw = _awaiting(calls.drawing.draw)
    edit_image = _awaiting(calls.drawing.edit_image)
    vary_image = _awaiting(calls.drawing.vary_image)
    detect = _awaiting(calls.vision.detect)
    segment = _awaiting(calls.vision.segment)
    depth = _awaiting(calls.vision.depth)
    pointcloud = _awaiting(calls.vision.pointcloud)
    features = _awaiting(calls.vision.features)
    caption = _awaiting(calls.vision.caption)
    ocr = _awaiting(calls.vision.ocr)
    analyze = _awaiting(calls.vision.analyze)
    crawl = _awaiting(calls.pages.crawl)
    transcribe = _awaiting(calls.speech.transcribe)
    translate_speech = _awaiting(calls.speech.translate_speech)
    speak = _awaiting(calls.speech.speak)
    stream_speech = _streaming(calls.speech.stream_speech)
    voices = _awaiting(calls.speech.voices)
    models = _awaiting(calls.models.list_models)
    model = _awaiting(calls.models.get_model)
    catalogue = _awaiting(calls.models.catalogue)
    known_model = _awaiting(calls.models.known_model)
    tasks = _awaiting(calls.models.tasks)
    task = _awaiting(calls.models.task)
    evict = _awaiting(calls.models.evict)
    pin = _awaiting(calls.models.pin)
    unpin = _awaiting(calls.models.unpin)
    add_model = _awaiting(calls.models.add_model)
    remove_model = _awaiting(calls.models.remove_model)
    pull = _streaming(calls.downloads.pull)
    downloads = _awaiting(calls.downloads.downloads)
    cancel_download = _awaiting(calls.downloads.cancel_download)
    submit_job = _awaiting(calls.jobs.submit_job)
    jobs = _awaiting(calls.jobs.jobs)
    job = _awaiting(calls.jobs.job)
    delete_job = _awaiting(calls.jobs.delete_job)
    follow_job = _streaming(calls.jobs.follow_job)
    batches = _awaiting(calls.jobs.batches)
    batch = _awaiting(calls.jobs.batch)
    cancel_batch = _awaiting(calls.jobs.cancel_batch)
    health = _awaiting(calls.system.health)
    ready = _awaiting(calls.system.ready)
    status = _awaiting(calls.system.status)
    history = _awaiting(calls.system.history)
    metrics = _awaiting(calls.system.metrics)
    reload = _awaiting(calls.system.reload)
    events = _streaming(calls.system.events)
    keys = _awaiting(calls.administration.keys)
    make_key = _awaiting(calls.administration.make_key)
    change_key = _awaiting(calls.administration.change_key)
    revoke_key = _awaiting(calls.administration.revoke_key)
    configuration = _awaiting(calls.administration.configuration)
    check_configuration = _awaiting(calls.administration.check_configuration)
    save_configuration = _awaiting(calls.administration.save_configuration)
    requests = _awaiting(calls.request_log.requests)
    request_bodies = _awaiting(calls.request_log.request_bodies)
    watch_requests = _streaming(calls.request_log.watch_requests)
    logs = _streaming(calls.system.logs)
    log_files = _awaiting(calls.system.log_files)
    log_page = _awaiting(calls.system.log_page)

    async def load(self, model: str, on_progress: OnProgress | None = None) -> str:
        """Load a model, wait until it is loaded, and return its id. `on_progress` is called for each step."""
        if on_progress is None:
            return await self.perform(calls.models.load(model))
        report = LoadReport((await self.model(model)).id, on_progress)
        following = asyncio.create_task(self._follow((await self.status()).seq, report))
        try:
            loaded = await self.perform(calls.models.load(model))
        finally:
            following.cancel()
        with suppress(asyncio.CancelledError):
            await following  # raises what the callback raised
        report.finish()
        return loaded

    async def _follow(self, seq: int, report: LoadReport) -> None:
        async for event in self.events(seq):
            report.take(event)

    async def request(self, method: str, path: str, body: Mapping[str, Any] | None = None, **query: str) -> Any:
        """Any other path of the API, such as one of a dialect. Returns its JSON, or its text."""
        return await self.perform(ApiCall(method, path, plain, body, body_of(**query)))

    async def perform(self, call: ApiCall[Answer]) -> Answer:
        """Send a call and read the answer."""
        url = self.base_url + call.path
        try:
            response = await self._http.request(
                call.method, url, json=call.body, params=call.query, headers=call.headers
            )
        except httpx2.HTTPError as error:
            raise unreachable(url, error) from error
        if response.status_code >= 400:
            raise error_in(response)
        return call.decode(parse(response.content, response.text, response.headers.get("content-type", "")))

    async def stream(self, call: EventCall[Answer]) -> AsyncIterator[Answer]:
        """Send a call and yield what its events report, until the stream ends."""
        url = self.base_url + call.path
        try:
            async with self._http.stream(call.method, url, json=call.body, params=call.query) as response:
                if response.status_code >= 400:
                    await response.aread()
                    raise error_in(response)
                async for line in response.aiter_lines():
                    if (report := call.read(line)) is not None:
                        yield report
        except EOFError:
            return
        except httpx2.HTTPError as error:
            raise ServerError(f"{url} broke off: {error or type(error).__name__}") from error
