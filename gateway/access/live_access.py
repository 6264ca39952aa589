"""Puts a changed configuration in force: who may use the API, how often, from which pages and under which names."""

from __future__ import annotations

import logging
from collections.abc import Callable

from starlette.types import ASGIApp, Receive, Scope, Send

from contract.config import Settings
from gateway.access.keys import NO_KEY_LEFT, Keyring
from gateway.access.origins import OriginPolicy
from gateway.access.rate_limits import RateLimits

log = logging.getLogger(__name__)


class LiveAccess:
    """An app behind the checks of every request, which `apply` replaces. Requests in progress are not checked again.

    `wrap` puts the other checks in front of the rate limits. Raises ConfigError for invalid networks or rate limits.
    """

    def __init__(
        self,
        app: ASGIApp,
        settings: Settings,
        keyring: Keyring,
        origins: OriginPolicy,
        wrap: Callable[[ASGIApp, Settings], ASGIApp],
    ) -> None:
        self._keyring, self._origins, self._wrap = keyring, origins, wrap
        self._limits = RateLimits(app, keyring.principals)
        self._app = wrap(self._limits, settings)

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        await self._app(scope, receive, send)

    def apply(self, settings: Settings) -> None:
        """Check requests that begin from now on by these settings. Raises ConfigError, and then changes nothing."""
        keyring = Keyring(settings)
        windows = self._limits.windows(keyring.principals)
        app = self._wrap(self._limits, settings)
        self._keyring.replace(keyring)
        self._limits.replace(windows)
        self._origins.replace(settings.gateway.cors_origins)
        self._app = app
        if self._keyring and self._keyring.is_empty:
            log.warning("The configuration has no key any more, so that requests are refused. %s", NO_KEY_LEFT)
