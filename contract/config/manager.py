"""The sections `manager`, `memory` and `resources`, which the manager alone acts on."""

from __future__ import annotations

from pydantic import Field

from contract.config.fields import Frozen, Gigabytes, Megabytes, NameList, PortRange, Seconds
from contract.credentials import Credential


class ManagerSettings(Frozen):
    """The manager, which decides which workers run; `idle_timeout` is in seconds, -1 for never. Workers
    listen on `worker_ports` of 127.0.0.1; null: on any free ones.

    Weight files in `model_dirs` are models without entries of their own. They are looked for every
    `model_scan_interval` seconds. Relative folders are relative to the configuration file.

    The configuration file is looked at every `config_scan_interval` seconds, and a change takes effect; 0: never.

    With `auto_download`, a request for a model that is not on this machine downloads it. A download ends once it has
    made no progress for `download_silence` seconds.
    """

    listen: NameList = ("127.0.0.1",)
    port: int = Field(8100, ge=0, le=65535)
    token: Credential = ""
    idle_timeout: Seconds = Field(300, ge=-1)
    standby: int = Field(1, ge=0)
    worker_ports: PortRange = None
    model_dirs: NameList = ("ai-models",)
    model_scan_interval: Seconds = Field(10, gt=0)
    config_scan_interval: Seconds = Field(1, ge=0)
    auto_download: bool = True
    download_silence: Seconds = Field(120, gt=0)


class MemorySettings(Frozen):
    """Limits for the memory of all workers, in GiB."""

    safety_margin_gb: Gigabytes = Field(2, ge=0)
    max_gpu_memory_gb: Gigabytes | None = Field(None, gt=0)
    max_ram_gb: Gigabytes | None = Field(None, gt=0)


class ResourceSettings(Frozen):
    """Limits for running and waiting requests; times are in seconds, `spool_mb` is in MiB."""

    max_concurrent_requests: int = Field(64, ge=1)
    max_wait: Seconds = Field(600, gt=0)
    swap_after: Seconds = Field(5, ge=0)
    job_max_wait: Seconds = Field(600, ge=0)
    drain_timeout: Seconds = Field(300, ge=0)
    shutdown_timeout: Seconds = Field(30, ge=0)
    spool_mb: Megabytes = Field(1024, ge=0)
