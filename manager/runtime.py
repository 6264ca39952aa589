"""Builds the manager from its parts: configuration, memory, launchers, downloads, scheduler."""

from __future__ import annotations

import asyncio
from pathlib import Path
from typing import Any

from contract.asgi.metrics import REGISTRY
from contract.config import ModelSpec, Settings
from contract.status import LocalCopy
from manager.background import BackgroundTasks
from manager.configuration import Configuration
from manager.entries import ModelEntries
from manager.events import EventLog
from manager.history.recorder import Recorder
from manager.memory.device import Meter
from manager.memory.monitor import MemoryMonitor
from manager.models import configured, downloads, model_removal
from manager.models.configured import ConfiguredModels
from manager.models.folders import ModelFolders
from manager.models.model_download import ModelDownload
from manager.models.model_downloads import ModelDownloads
from manager.models.weights import hub_cache
from manager.processes.children import ChildRegistry
from manager.processes.launchers import Launcher
from manager.processes.launchers.command import CommandLauncher
from manager.processes.launchers.local import LocalLauncher, models_folder
from manager.processes.launchers.logs import Logs
from manager.processes.launchers.standby import StandbyKey
from manager.processes.lifecycle import Lifecycle
from manager.processes.network import WorkerNetwork
from manager.scheduling import snapshot
from manager.scheduling.collector import PoolCollector
from manager.scheduling.missing_files import MissingFiles
from manager.scheduling.pool import Pool
from manager.spool import SpoolSpace
from manager.state.model import Model
from manager.state.pins import Pins
from manager.waiting_requests import WaitingRequests


class Runtime:
    """Everything that the manager's routes need."""

    def __init__(self, models: ConfiguredModels, home: Path, meter: Meter, folders: ModelFolders) -> None:
        self.models = models
        self.folders = folders
        self.event_log = EventLog()
        self.monitor = MemoryMonitor.in_home(meter, models.settings.memory, home)
        self._is_stopping = False
        self.configuration = Configuration(models.settings, self._describe, self._apply, self.event_log)
        self._tasks = BackgroundTasks("runtime")
        self.home = home
        self._children = children = ChildRegistry(home / "manager" / "children.json")
        self._logs = Logs(home / "logs", lambda: self.models.settings.logs)
        settings = models.settings
        network = WorkerNetwork(settings.manager.worker_ports, settings.gateway.allow_private)
        self._local = LocalLauncher(home, self._imports_of, children, self._logs, network)
        self._command = CommandLauncher(children, self._logs, network)
        lifecycle = Lifecycle(self._launcher, self.monitor)
        environ = {"HF_HOME": str(models_folder(home))}
        self.model_downloads = ModelDownloads(
            environ, lambda: self.models.settings.manager, self.event_log, self._on_downloaded
        )
        self.pool = Pool(models, self.monitor, lifecycle, self.event_log, on_quiet=self._update_standbys)
        self.files = MissingFiles(self.model_downloads, lambda: self.models.settings.manager, self._idle_model)
        self.pool.obtain_files = self.files.obtain
        self.entries = ModelEntries(self.configuration, self.pool, self.model_downloads, self._on_removed)
        self._pins = Pins(home / "manager" / "pins.json")
        self._pins.restore(self.pool.models)
        self.waiting_requests = WaitingRequests()
        self.spool_space = SpoolSpace(home / "manager", lambda: self.models.settings.resources.spool_mb * 2**20)
        self.history = Recorder(self.pool, self.monitor)
        REGISTRY.register(PoolCollector(self.pool, self.monitor))

    async def start(self) -> None:
        """Measure memory for the first time, and start the scheduler."""
        await self.monitor.sample(())
        self.pool.start()
        self._tasks.spawn(asyncio.to_thread(model_removal.remove_leftovers, hub_cache()))
        self._tasks.spawn(self._logs.keep_within_bounds())
        self._tasks.spawn(self._children.record_descendants())
        self._tasks.spawn(self.history.run())
        self._tasks.spawn(self.folders.watch(lambda: self.models.settings.manager, self.event_log, self.reload))
        self._tasks.spawn(self.configuration.watch(lambda: self.models.settings.manager.config_scan_interval))

    async def reload(self) -> list[str]:
        """Read the configuration again. Returns the ids that changed. Raises ConfigError, and then changes nothing."""
        return await self.configuration.reload()

    def reload_in_background(self) -> None:
        """Reload without a caller to answer, as for a signal, unless the manager is stopping."""
        if not self._is_stopping:
            self.configuration.reload_in_background()

    def pin(self, model: Model, pinned: bool) -> None:
        """Keep the model's workers, whatever its entry says, or no longer; until that is changed, restarts included."""
        self.pool.pin(model, pinned)
        self.event_log.add("pinned" if pinned else "unpinned", model=model.id)
        self._pins.save(self.pool.models.values())

    def forget(self, model: Model) -> bool:
        """Forget a model's measured memory; whether there was anything."""
        placements = [snapshot.placement_on(model, d) for d in snapshot.possible_devices(model, self.monitor)]
        workers = self.pool.supervisor.workers_of(model.id)
        self.event_log.add("memory", model=model.id, reason="what was measured is forgotten")
        return self.monitor.forget(model.spec, placements, workers)

    async def downloads(self) -> dict[str, bool | None]:
        """Which configured models are downloaded, by id. Reads the disk in a thread, since it may be slow."""
        return await asyncio.to_thread(lambda: {spec.id: downloads.downloaded(spec) for spec in self._specs()})

    async def local_copies(self) -> dict[str, LocalCopy]:
        """What of the configured models is on this machine, by id. Reads the disk in a thread."""
        return await asyncio.to_thread(lambda: {spec.id: downloads.local_copy(spec) for spec in self._specs()})

    def _idle_model(self, id_: str) -> Model | None:
        return None if self.pool.supervisor.is_serving(id_) else self.pool.models.get(id_)

    def _specs(self) -> list[ModelSpec]:
        return [model.spec for model in self.models.models.values()]

    def _on_downloaded(self, download: ModelDownload) -> None:
        self._tasks.spawn(self._note_downloaded(download))

    def _on_removed(self, name: str) -> None:
        self.event_log.add("models", model=name, reason="its files were removed")
        self._update_standbys()

    async def _note_downloaded(self, download: ModelDownload) -> None:
        """Read what the files say of their models, which the list of models shows from now on."""
        models = [m for m in self.models.models.values() if self.model_downloads.key(m.spec) == download.key]
        await asyncio.to_thread(configured.read_facts, models)
        self.event_log.add("models", reason=f"downloaded: {download.key.source}")
        self._update_standbys()

    def standbys(self) -> list[dict[str, Any]]:
        """The processes that wait for a model, for the status page."""
        return self._local.standbys.status()

    def begin_shutdown(self) -> None:
        """Refuse the requests that wait, and end the event streams, so that only running requests are waited for."""
        self._is_stopping = True
        self.files.close()
        self._tasks.spawn(self.model_downloads.close())  # requests wait for them
        self.pool.stop_admitting()
        self.event_log.close()

    async def close(self) -> None:
        """Stop every worker and every standby."""
        await self.model_downloads.close()
        await self._tasks.cancel()
        await self.configuration.close()
        await self.pool.close()
        await self._local.close()

    def _apply(self, models: ConfiguredModels) -> list[str]:
        changed = self.pool.reload(models)
        self.models = ConfiguredModels(models.settings, self.pool.models)
        if not self.pool.supervisor.starting:  # otherwise the end of that start makes the moment quiet
            self._update_standbys()
        return changed

    async def _describe(self, settings: Settings) -> ConfiguredModels:
        return await configured.describe(settings, self.folders.files)

    def _imports_of(self, engine: str) -> tuple[str, ...]:
        return self.models.imports_of(engine)  # a reload replaces `models`

    def _launcher(self, spec: ModelSpec) -> Launcher:
        return self._command if spec.is_external else self._local

    def _update_standbys(self) -> None:
        self._tasks.spawn(self._choose_standbys())

    async def _choose_standbys(self) -> None:
        """Keep only the standbys that a request may need soon, since each takes memory for as long as it waits.

        They are for models that are downloaded, and for those that were requested before. The first start of any other
        model waits for its download anyway. Engines that start quickly without them have them once they are in use.
        """
        downloaded = await self.downloads()
        standbys, count = self._local.standbys, self.models.settings.manager.standby
        wanted = {}
        for id_, model in self.models.models.items():
            key = StandbyKey.of(model.spec, model.capabilities.imports)
            if key in standbys.requested or (model.capabilities.early_standby and downloaded.get(id_)):
                wanted[key] = count
        standbys.keep(wanted)
