"""The configuration in force: follows the file, changes it, and keeps the last valid one while the file is invalid."""

from __future__ import annotations

import asyncio
import logging
import time
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import ExitStack, asynccontextmanager

import yaml

from contract import config
from contract.config import ConfigError, GatewaySettings, JobSettings, Settings
from contract.config.responses import StoredResponseSettings
from contract.config_file import ConfigChange, changing
from contract.config_watch import ConfigurationFile
from contract.default_config import MODELS
from contract.status import ConfigurationStatus
from contract.yaml_lists import UneditableYaml
from manager.background import BackgroundTasks
from manager.events import EventLog
from manager.metrics import CONFIGURATION_VALID
from manager.models.configured import ConfiguredModels

log = logging.getLogger(__name__)

Describe = Callable[[Settings], Awaitable[ConfiguredModels]]
Change = Callable[[str], str]
_READ_AT_START = {
    "gateway": frozenset(GatewaySettings.model_fields) - {"api_key", "cors_origins", "hosts"},
    "jobs": frozenset(JobSettings.model_fields),
    "responses": frozenset(StoredResponseSettings.model_fields),
    "manager": frozenset({"listen", "port", "token", "worker_ports"}),
    "resources": frozenset({"shutdown_timeout"}),
}
"""By section, the keys that programs read at their start only. Who may use the API is read again by the gateway."""


class Configuration:
    """Reads the file again when it changes, or when asked to. `apply` puts models in force, and says what changed."""

    def __init__(
        self,
        started_with: Settings,
        describe: Describe,
        apply: Callable[[ConfiguredModels], list[str]],
        events: EventLog,
    ) -> None:
        self._started_with = started_with
        self._describe = describe
        self._apply = apply
        self._events = events
        self._tasks = BackgroundTasks("configuration")
        self._one_at_a_time = asyncio.Lock()
        self._next_reload: asyncio.Future[list[str]] | None = None  # not begun yet
        self._file = ConfigurationFile()
        path, now = str(self._file.path.absolute()), time.time()
        self._status = ConfigurationStatus(path=path, has_file=self._file.exists, applied_at=now)
        CONFIGURATION_VALID.set(1)

    def status(self) -> ConfigurationStatus:
        """What is in force, and what is wrong with the file."""
        return self._status

    async def reload(self) -> list[str]:
        """Read the file again. Returns the ids that changed. Raises ConfigError, and then changes nothing.

        Calls that come while another reload runs share the next one, however many they are.
        """
        if self._next_reload is None:
            self._next_reload = asyncio.get_running_loop().create_future()
            self._tasks.spawn(self._reload_into(self._next_reload))
        return await asyncio.shield(self._next_reload)

    def reload_in_background(self) -> None:
        """Reload without a caller to answer, as for a signal: an invalid configuration goes to the log."""
        self._tasks.spawn(self._reload_or_log())

    async def change(self, change: Change) -> list[str]:
        """Change the file's text, and apply it. Returns the ids that changed.

        Raises ConfigError, and what `change` raises; then neither the file nor the models change.
        """
        result: asyncio.Future[list[str]] = asyncio.get_running_loop().create_future()
        self._tasks.spawn(self._change_into(result, change))
        return await asyncio.shield(result)

    async def try_out(self, change: Change) -> Settings:
        """The settings after a change, which is not made. Raises as `change` does."""
        async with self._one_at_a_time, self._tried(change) as (prepared, _):
            return prepared.settings

    def waiting_for_restart(self, settings: Settings) -> list[str]:
        """Which keys of these settings take effect with the next start only."""
        return _needs_restart(self._started_with, settings)

    async def watch(self, interval: Callable[[], float]) -> None:
        """Reload whenever the file has changed, forever. `interval` is in seconds; 0: do not look."""
        while True:
            await self._file.changed(interval)
            await self._reload_or_log()

    async def close(self) -> None:
        """End what is under way."""
        await self._tasks.cancel()

    async def _reload_into(self, result: asyncio.Future[list[str]]) -> None:
        try:
            async with self._one_at_a_time:  # the reload that has read an older file must not be applied last
                self._next_reload = None  # the file is read now: it may change after this, so later calls need another
                result.set_result(await self._reload_now())
        except asyncio.CancelledError:
            result.cancel()
            raise
        except Exception as error:
            result.set_exception(error)

    async def _reload_now(self) -> list[str]:
        try:
            settings = await asyncio.to_thread(self._file.load)
            models = await self._describe(settings)
        except ConfigError as error:
            self._note_invalid(str(error))
            raise
        return self._put_in_force(models)

    async def _change_into(self, result: asyncio.Future[list[str]], change: Change) -> None:
        try:
            async with self._one_at_a_time:
                async with self._tried(change) as (prepared, models):
                    prepared.apply()
                    self._file.note_read()
                result.set_result(self._put_in_force(models))
        except asyncio.CancelledError:
            result.cancel()
            raise
        except UneditableYaml as error:
            result.set_exception(ConfigError(f"{self._status.path}: {error}"))
        except Exception as error:
            result.set_exception(error)

    @asynccontextmanager
    async def _tried(self, change: Change) -> AsyncIterator[tuple[ConfigChange, ConfiguredModels]]:
        """A change that is written beside the file, and what its engines say of its models."""
        with ExitStack() as stack:
            prepare = changing(config.default_path(), change, default_text())
            prepared = await asyncio.to_thread(lambda: stack.enter_context(prepare))
            yield prepared, await self._describe(prepared.settings)

    def _put_in_force(self, models: ConfiguredModels) -> list[str]:
        changed = self._apply(models)
        if self._status.error:
            self._events.add("configuration", reason="the file is valid again, and in force")
        waiting = _needs_restart(self._started_with, models.settings)
        if set(waiting) - set(self._status.needs_restart):
            self._events.add("configuration", reason=f"takes effect with the next start: {', '.join(waiting)}")
        has_file, now = self._file.exists, time.time()
        path = self._status.path
        self._status = ConfigurationStatus(path=path, has_file=has_file, applied_at=now, needs_restart=waiting)
        CONFIGURATION_VALID.set(1)
        return changed

    def _note_invalid(self, error: str) -> None:
        """Say everywhere that the file is not in force."""
        self._status = self._status.model_copy(update={"error": error, "error_at": time.time()})
        CONFIGURATION_VALID.set(0)
        self._events.add("configuration", reason=f"not applied, the last valid one stays in force: {error}")

    async def _reload_or_log(self) -> None:
        try:
            await self.reload()
        except ConfigError as error:
            log.error("the configuration was not applied, and the last valid one stays in force: %s", error)


def default_text() -> str:
    """What a configuration file begins with that does not exist yet: the default models."""
    text: str = yaml.safe_dump({"models": [dict(entry) for entry in MODELS]}, sort_keys=False)
    return text


def _needs_restart(before: Settings, now: Settings) -> list[str]:
    """The keys that have changed and that programs read at their start only."""
    changed = []
    for section, keys in _READ_AT_START.items():
        old, new = getattr(before, section), getattr(now, section)
        changed += [
            f"{section}.{key}"
            for key in type(old).model_fields
            if key in keys and getattr(old, key) != getattr(new, key)
        ]
    return changed
