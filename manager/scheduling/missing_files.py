"""Downloads what a model lacks before a worker of it starts, so that no start takes as long as a download."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from contextlib import AbstractAsyncContextManager
from typing import Any

from contract.asgi.draining import shutting_down
from contract.config import ManagerSettings
from contract.errors import Downloading, LoadFailed, NotDownloaded
from manager.models.downloads import downloaded, is_hub_id, missing_path
from manager.models.model_download import ModelDownload
from manager.models.model_downloads import ModelDownloads
from manager.state.model import Model

WhileWaiting = Callable[[], AbstractAsyncContextManager[None]]  # such as `RequestBody.spooling`

FIRST_ESTIMATE = 10.0
"""Seconds after which a request may be sent again while nothing is known of its model's download."""

HUB_PATIENCE = 10.0
"""Seconds that a request waits for the hub's first bytes, or its refusal. A busy machine takes 3 s to ask the hub."""


ObtainFiles = Callable[[str, WhileWaiting, str], Awaitable[None]]


async def _nothing(_model_id: str, _while_waiting: WhileWaiting, _request_id: str) -> None: ...


no_files: ObtainFiles = _nothing
"""What a pool does whose models need no files."""


class MissingFiles:
    """Starts downloads for requests, and has those that can wait do so.

    `idle_model` is the model of an id, or None if it has a worker, or does not exist.
    """

    def __init__(
        self,
        downloads: ModelDownloads,
        settings: Callable[[], ManagerSettings],
        idle_model: Callable[[str], Model | None],
    ) -> None:
        self._downloads = downloads
        self._settings = settings
        self._idle_model = idle_model
        self._waiting: dict[str, tuple[Model, ModelDownload]] = {}  # by request id
        self._closing = False

    async def refuse_if_missing(self, model_id: str) -> None:
        """For a request that cannot wait. Raises Downloading, with how far that is, if the model has to be downloaded.

        Raises NotDownloaded where requests may not download it, or the error of a download that has failed.
        """
        model = self._idle_model(model_id)
        if model and (download := await self._begin(model)):
            await download.begun(HUB_PATIENCE)  # what cannot be downloaded is known by then
            if not download.running:
                await download.result()  # raises its error
                return
            wait = FIRST_ESTIMATE if download.seconds_left is None else max(1.0, download.seconds_left)
            details: dict[str, Any] = {"model": model.id, "retry_after": round(wait, 1)}
            details["download"] = download.status().model_dump(mode="json")
            message = f"Enginehouse is {download.message()}. Send the request again, or stream it to wait."
            raise Downloading(message, details=details, retry_after=wait)

    async def obtain(self, model_id: str, while_waiting: WhileWaiting, request_id: str) -> None:
        """Return once the model's files are there. Raises like `refuse_if_missing`, but waits for a download."""
        model = self._idle_model(model_id)
        if model is None or (download := await self._begin(model)) is None:
            return
        self._waiting[request_id] = (model, download)
        try:
            async with while_waiting():
                await download.result()
        except Exception:
            if self._closing:
                raise shutting_down() from None
            raise
        finally:
            self._waiting.pop(request_id, None)  # several of a request may wait for one download

    def report(self, request_id: str) -> dict[str, Any] | None:
        """What a request waits for, in the form of `wait_report.report`; None if it waits for no download."""
        if request_id not in self._waiting:
            return None
        model, download = self._waiting[request_id]
        return {"model": model.id, "ahead": 0, "message": download.message()}

    def close(self) -> None:
        """Say from now on that the server stops, when downloads are ended."""
        self._closing = True

    async def _begin(self, model: Model) -> ModelDownload | None:
        """The download that a request for the model has to wait for; None if its files are there.

        Raises LoadFailed for a path of this machine that does not exist.
        """
        spec = model.spec
        if not model.capabilities.needs_source:
            return None
        if not is_hub_id(spec):
            if problem := await asyncio.to_thread(missing_path, spec):
                details = {"model": model.id, "permanent": True}
                raise LoadFailed(f"{model.id} could not be loaded: {problem}", details=details)
            return None
        present = await asyncio.to_thread(lambda: downloaded(spec))
        if present:
            return None
        allowed = self._settings().auto_download if spec.auto_download is None else spec.auto_download
        running = self._downloads.of(spec)
        if not allowed and not (running and running.running):
            message = (
                f"{model.id} is not on this machine, and requests do not download it (`auto_download: false`). "
                "An operator can, with POST /api/models/download."
            )
            raise NotDownloaded(message, details={"model": model.id, "source": spec.source})
        return await self._downloads.start_again(spec)
