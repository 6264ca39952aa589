"""The synchronous client: `Client("http://localhost:8000").detect("photo.jpg", "a cat")`."""

from __future__ import annotations

import asyncio
import functools
from collections.abc import Callable, Iterator, Mapping
from typing import Any, Concatenate, ParamSpec, TypeVar

import httpx2

from client import calls
from client.async_client import AsyncClient
from client.call import ApiCall, EventCall, body_of, parse, plain
from client.connection import Connection
from client.errors import ServerError, error_in, unreachable
from client.loading import OnProgress

Arguments = ParamSpec("Arguments")
Answer = TypeVar("Answer")
"""What a call returns."""


def _blocking(build: Callable[Arguments, ApiCall[Answer]]) -> Callable[Concatenate[Client, Arguments], Answer]:
    """A method that performs the call."""

    def method(self: Client, /, *args: Arguments.args, **kwargs: Arguments.kwargs) -> Answer:
        return self.perform(build(*args, **kwargs))

    functools.update_wrapper(method, build)
    return method


def _streaming(
    build: Callable[Arguments, EventCall[Answer]],
) -> Callable[Concatenate[Client, Arguments], Iterator[Answer]]:
    """A method that performs the call and yields what its events report."""

    def method(self: Client, /, *args: Arguments.args, **kwargs: Arguments.kwargs) -> Iterator[Answer]:
        return self.stream(build(*args, **kwargs))

    functools.update_wrapper(method, build)
    return method


class Client:
    """Calls a server. Every method raises ServerError, with the server's own message.

    `base_url` and `api_key` default to ENGINEHOUSE_URL and ENGINEHOUSE_KEY. `timeout` is in seconds: a model that does
    not run yet is loaded, or even downloaded, first. Use it in a `with` block, or call `close`.
    """

    def __init__(self, base_url: str | None = None, api_key: str | None = None, *, timeout: float = 600) -> None:
        self._arguments: dict[str, Any] = {"base_url": base_url, "api_key": api_key, "timeout": timeout}
        self._connection = Connection.to(base_url, api_key, timeout)
        self._http = httpx2.Client(**self._connection.options)

    @property
    def base_url(self) -> str:
        """The server's address."""
        return self._connection.base_url

    def __enter__(self) -> Client:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def close(self) -> None:
        """Close the connections."""
        self._http.close()

    chat = _blocking(calls.chat.chat)
    stream_chat = _streaming(calls.chat.stream_chat)
    embed = _blocking(calls.embeddings.embed)
    rerank = _blocking(calls.ranking.rerank)
    draw = _blocking(calls.drawing.draw)
    edit_image = _blocking(calls.drawing.edit_image)
    vary_image = _blocking(calls.drawing.vary_image)
    detect = _blocking(calls.vision.detect)
    segment = _blocking(calls.vision.segment)
    depth = _blocking(calls.vision.depth)
    pointcloud = _blocking(calls.vision.pointcloud)
    features = _blocking(calls.vision.features)
    caption = _blocking(calls.vision.caption)
    ocr = _blocking(calls.vision.ocr)
    analyze = _blocking(calls.vision.analyze)
    crawl = _blocking(calls.pages.crawl)
    transcribe = _blocking(calls.speech.transcribe)
    translate_speech = _blocking(calls.speech.translate_speech)
    speak = _blocking(calls.speech.speak)
    stream_speech = _streaming(calls.speech.stream_speech)
    voices = _blocking(calls.speech.voices)
    models = _blocking(calls.models.list_models)
    model = _blocking(calls.models.get_model)
    catalogue = _blocking(calls.models.catalogue)
    known_model = _blocking(calls.models.known_model)
    tasks = _blocking(calls.models.tasks)
    task = _blocking(calls.models.task)
    evict = _blocking(calls.models.evict)
    pin = _blocking(calls.models.pin)
    unpin = _blocking(calls.models.unpin)
    add_model = _blocking(calls.models.add_model)
    remove_model = _blocking(calls.models.remove_model)
    pull = _streaming(calls.downloads.pull)
    downloads = _blocking(calls.downloads.downloads)
    cancel_download = _blocking(calls.downloads.cancel_download)
    submit_job = _blocking(calls.jobs.submit_job)
    jobs = _blocking(calls.jobs.jobs)
    job = _blocking(calls.jobs.job)
    delete_job = _blocking(calls.jobs.delete_job)
    follow_job = _streaming(calls.jobs.follow_job)
    batches = _blocking(calls.jobs.batches)
    batch = _blocking(calls.jobs.batch)
    cancel_batch = _blocking(calls.jobs.cancel_batch)
    health = _blocking(calls.system.health)
    ready = _blocking(calls.system.ready)
    status = _blocking(calls.system.status)
    history = _blocking(calls.system.history)
    metrics = _blocking(calls.system.metrics)
    reload = _blocking(calls.system.reload)
    events = _streaming(calls.system.events)
    keys = _blocking(calls.administration.keys)
    make_key = _blocking(calls.administration.make_key)
    change_key = _blocking(calls.administration.change_key)
    revoke_key = _blocking(calls.administration.revoke_key)
    configuration = _blocking(calls.administration.configuration)
    check_configuration = _blocking(calls.administration.check_configuration)
    save_configuration = _blocking(calls.administration.save_configuration)
    requests = _blocking(calls.request_log.requests)
    request_bodies = _blocking(calls.request_log.request_bodies)
    watch_requests = _streaming(calls.request_log.watch_requests)
    logs = _streaming(calls.system.logs)
    log_files = _blocking(calls.system.log_files)
    log_page = _blocking(calls.system.log_page)

    def load(self, model: str, on_progress: OnProgress | None = None) -> str:
        """Load a model, wait until it is loaded, and return its id. `on_progress` is called for each step."""
        if on_progress is None:
            return self.perform(calls.models.load(model))
        return asyncio.run(self._load(model, on_progress))

    async def _load(self, model: str, on_progress: OnProgress) -> str:
        async with AsyncClient(**self._arguments) as client:
            return await client.load(model, on_progress)

    def request(self, method: str, path: str, body: Mapping[str, Any] | None = None, **query: str) -> Any:
        """Any other path of the API, such as one of a dialect. Returns its JSON, or its text."""
        return self.perform(ApiCall(method, path, plain, body, body_of(**query)))

    def perform(self, call: ApiCall[Answer]) -> Answer:
        """Send a call and read the answer."""
        url = self.base_url + call.path
        try:
            response = self._http.request(call.method, url, json=call.body, params=call.query, headers=call.headers)
        except httpx2.HTTPError as error:
            raise unreachable(url, error) from error
        if response.status_code >= 400:
            raise error_in(response)
        return call.decode(parse(response.content, response.text, response.headers.get("content-type", "")))

    def stream(self, call: EventCall[Answer]) -> Iterator[Answer]:
        """Send a call and yield what its events report, until the stream ends."""
        url = self.base_url + call.path
        try:
            with self._http.stream(call.method, url, json=call.body, params=call.query) as response:
                if response.status_code >= 400:
                    response.read()
                    raise error_in(response)
                for line in response.iter_lines():
                    if (report := call.read(line)) is not None:
                        yield report
        except EOFError:
            return
        except httpx2.HTTPError as error:
            raise ServerError(f"{url} broke off: {error or type(error).__name__}") from error
