"""Follows the configuration file: who may use the API takes effect when the file is saved."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Callable

from contract.config import ConfigError, Settings
from contract.config_watch import ConfigurationFile

log = logging.getLogger(__name__)

_LIVE = ("api_key", "cors_origins", "hosts")
"""The keys of the section `gateway` that take effect without a restart, as all of `security` do."""


class FollowedConfiguration:
    """Puts a changed configuration in force. `error`: why the file is not, so that the last valid one stays."""

    def __init__(self, settings: Settings) -> None:
        self._settings = settings
        self._apply: Callable[[Settings], None] = lambda _: None
        self._file = ConfigurationFile()
        self._one_at_a_time = asyncio.Lock()
        self.error: str | None = None

    def on_change(self, apply: Callable[[Settings], None]) -> None:
        """Call `apply` with each configuration. It raises ConfigError for one that cannot be in force."""
        self._apply = apply

    async def reload(self) -> None:
        """Read the file again. Raises ConfigError, and then changes nothing."""
        async with self._one_at_a_time:
            try:
                settings = await asyncio.to_thread(self._file.load)
                self._apply(settings)
            except ConfigError as error:
                self.error = str(error)
                raise
            if _access(settings) != _access(self._settings):
                log.info("who may use the API has changed, as the configuration says")
            self._settings, self.error = settings, None

    async def follow(self) -> None:
        """Reload whenever the file has changed, forever. What is wrong with it goes to the log."""
        while True:
            await self._file.changed(lambda: self._settings.manager.config_scan_interval)
            try:
                await self.reload()
            except ConfigError as error:
                log.error("the configuration was not applied, and the last valid one stays in force: %s", error)


def _access(settings: Settings) -> tuple[object, ...]:
    return settings.security, *(getattr(settings.gateway, key) for key in _LIVE)
