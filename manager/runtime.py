"""Puts the manager together: configuration, memory, launchers and pool, and takes on a changed configuration."""

from __future__ import annotations

import asyncio
from pathlib import Path
from typing import Any

from contract import config
from contract.asgi.metrics import REGISTRY
from contract.config import Settings
from manager.events import EventLog
from manager.memory import Meter
from manager.memory.monitor import MemoryMonitor
from manager.metrics import PoolCollector
from manager.models import configured as catalogs
from manager.models import downloads
from manager.models.configured import ConfiguredModels
from manager.processes.children import ChildRegistry
from manager.processes.launchers import Launcher
from manager.processes.launchers.command import CommandLauncher
from manager.processes.launchers.local import LocalLauncher
from manager.processes.launchers.standby import StandbyKey
from manager.processes.lifecycle import Lifecycle
from manager.processes.supervisor import Supervisor
from manager.scheduling.pool import Pool


class Runtime:
    """Everything that the manager's routes need."""

    def __init__(self, catalog: ConfiguredModels, home: Path, meter: Meter) -> None:
        self.catalog = catalog
        self.events = EventLog()
        self._reloading = asyncio.Lock()
        self._looking: set[asyncio.Task[None]] = set()
        self.gauge = MemoryMonitor.over(meter, catalog.settings.memory, home)
        children = ChildRegistry(home / "manager" / "children.json")
        self._local = LocalLauncher(home, self._imports_of, children)
        self._command = CommandLauncher(home, children)
        roster = Supervisor(Lifecycle(self._launcher, self.gauge), self.gauge, self.events)
        self.pool = Pool(catalog.settings, catalog.models, self.gauge, roster, self.events)
        self.pool.calm = self._keep_standbys
        REGISTRY.register(PoolCollector(self.pool, self.gauge))

    async def start(self) -> None:
        """Take the first readings, and begin."""
        await self.gauge.sample(())
        self.pool.start()

    async def reload(self) -> list[str]:
        """Read the configuration again. Raises ConfigError and changes nothing, if it is wrong."""
        async with self._reloading:  # of two, the one that has read the older file must not come last
            settings = await asyncio.to_thread(config.load)
            catalog = await catalogs.build(settings)
            return self._take_on(settings, catalog)

    def _take_on(self, settings: Settings, catalog: ConfiguredModels) -> list[str]:
        changed = self.pool.reload(settings, catalog.models)
        self.catalog = ConfiguredModels(settings, self.pool.models)
        if not self.pool.roster.starting:  # else the end of that start brings standbys about
            self._keep_standbys()
        return changed

    async def close(self) -> None:
        """End every worker and every standby."""
        for task in self._looking:
            task.cancel()
        await self.pool.close()
        await self._local.close()

    def standbys(self) -> list[dict[str, Any]]:
        """The processes that wait for a model, for the status page."""
        return self._local.standbys.status()

    def _imports_of(self, engine: str) -> tuple[str, ...]:
        return self.catalog.imports_of(engine)  # the catalog of this moment: a reload brings another

    def _launcher(self, engine: str) -> Launcher:
        return self._command if engine == "command" else self._local

    def _keep_standbys(self) -> None:
        task = asyncio.create_task(self._choose_standbys())
        self._looking.add(task)
        task.add_done_callback(self._looking.discard)

    async def _choose_standbys(self) -> None:
        """A standby takes memory for good: keep those that a request may need soon.

        They are for models that lie on this machine, and for those that somebody asked for: the first start of any
        other one waits for a download anyway.
        """
        there = await self.downloads()
        standbys, count = self._local.standbys, self.catalog.settings.manager.standby
        keys = {id_: StandbyKey.of(model.spec, model.offer.imports) for id_, model in self.catalog.models.items()}
        standbys.keep({key: count for id_, key in keys.items() if there.get(id_) or key in standbys.asked_for})

    async def downloads(self) -> dict[str, bool | None]:
        """Which configured models lie on this machine; looked up beside the event loop, for disks may be slow."""
        specs = [model.spec for model in self.catalog.models.values()]
        return await asyncio.to_thread(lambda: {spec.id: downloads.downloaded(spec) for spec in specs})
