"""The section `models`: one entry for each model."""

from __future__ import annotations

from typing import Annotated, Any, Literal

from pydantic import BeforeValidator, Field

from contract.config.fields import Frozen, Gigabytes, NameList, Seconds

ModelName = Annotated[str, Field(min_length=1, max_length=256, pattern=r"^[^\s#]+$")]


HOST_ONLY = frozenset({"python", "env", "trust_remote_code"})
"""Keys of an entry that run programs or code of the entry's author: only the file itself may set them, not the API."""

HOST_ONLY_ENGINES = frozenset({"command"})
HOST_ONLY_OPTIONS = frozenset({"executable", "sandbox", "allow_private"})
"""Options of the crawler that start a program or reach into private networks."""


def _replicas(value: Any) -> Any:
    if value == "per-gpu" or (isinstance(value, int) and not isinstance(value, bool) and value >= 1):
        return value
    raise ValueError(f"write how many workers there may be, 1 or more, or per-gpu, not {value!r}")


Replicas = Annotated[Annotated[int, Field(ge=1)] | Literal["per-gpu"], BeforeValidator(_replicas)]


class Preset(Frozen):
    """Another name for a model, with a system message for chats that have none, and defaults before the entry's."""

    system: str | None = Field(None, min_length=1)
    defaults: dict[str, Any] = Field({})


class ModelSpec(Frozen):
    """One entry of `models`: what to run, where, and for how long. Times are in seconds, memory in GiB."""

    id: str = Field(min_length=1, pattern=r"^[^\s#]+$")
    engine: str
    source: str = ""
    revision: str | None = None
    tasks: NameList = ()
    default: NameList = ()
    aliases: NameList = ()
    memory_gb: Gigabytes | None = Field(None, gt=0)
    device: str = Field("auto", pattern=r"^(auto|cuda(:\d+)?|mps|cpu|mlx)$")
    dtype: Literal["auto", "float32", "bfloat16", "float16"] = "auto"
    replicas: Replicas = 1
    idle_timeout: Seconds | None = Field(None, ge=-1)
    start_silence: Seconds = Field(120, gt=0)
    start_deadline: Seconds = Field(3600, gt=0)
    hang_timeout: Seconds = Field(60, gt=0)
    abandoned_timeout: Seconds = Field(60, gt=0)
    stop_grace: Seconds = Field(10, ge=0)
    max_queue: int = Field(64, ge=1)
    pinned: bool = False
    preload: bool = False
    python: str | None = None
    env: dict[str, str] = Field({})
    trust_remote_code: bool = False
    auto_download: bool | None = None
    defaults: dict[str, Any] = Field({})
    presets: dict[ModelName, Preset] = Field({})
    options: dict[str, Any] = Field({})

    @property
    def is_external(self) -> bool:
        """Whether a server of another make serves the model: only its command says what it is and needs."""
        return self.engine == "command"
