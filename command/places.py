"""Where the configuration and the state of a server on this machine are."""

from __future__ import annotations

import os
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

import platformdirs

from contract import config

CLONE = Path(__file__).parents[1]


@dataclass(frozen=True, slots=True)
class Places:
    """The configuration file and the state folder of one server."""

    config: Path
    home: Path

    @classmethod
    def find(cls, environ: Mapping[str, str] = os.environ, folder: Path | None = None) -> Places:
        """Those that ENGINEHOUSE_CONFIG and ENGINEHOUSE_HOME name, else those of a clone in whose folder we are.

        Everywhere else they are in the places that the system has for a user's configuration and state.
        """
        folder = (folder or Path.cwd()).resolve()
        if folder == CLONE and (CLONE / "Makefile").exists():
            file, home = CLONE / "config.yaml", CLONE / "data"
        else:
            file = platformdirs.user_config_path("enginehouse", appauthor=False) / "config.yaml"
            home = platformdirs.user_state_path("enginehouse", appauthor=False)
        if environ.get("ENGINEHOUSE_CONFIG"):
            file = config.default_path(environ).absolute()
        if environ.get("ENGINEHOUSE_HOME"):
            home = config.home(environ)
        return cls(file, home)

    def environ(self, environ: Mapping[str, str] = os.environ) -> dict[str, str]:
        """The environment of programs that use these places."""
        named = {"ENGINEHOUSE_HOME": str(self.home)}
        if self.config.exists():
            named["ENGINEHOUSE_CONFIG"] = str(self.config)
        return {**environ, **named}
