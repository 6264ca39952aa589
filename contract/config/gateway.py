"""The section `gateway`."""

from __future__ import annotations

from typing import Annotated, Any

from pydantic import BeforeValidator, Field

from contract.config.fields import Frozen, Hosts, Megabytes, Networks, Origins, Seconds
from contract.credentials import Credential


def _unless_off(value: Any) -> Any:
    return None if value is False or value == "off" else value  # YAML reads `off` as false


class GatewaySettings(Frozen):
    """The gateway, which clients connect to; `send_timeout` is in seconds.

    `max_bodies_mb` is in force only above `max_body_mb`: one body always has room.

    `auto_add`: a model of the catalogue that a request of a dialect needs is added to config.yaml.

    `infer_steps` and `infer_guidance` are the defaults of `/infer`.

    The bodies of the last `capture_requests` requests are kept in memory, `capture_body_kb` of text of each.
    """

    host: str = "0.0.0.0"  # noqa: S104 - the gateway is the public entry point
    port: int = Field(8000, ge=0, le=65535)
    manager_host: str = "127.0.0.1"
    manager_silence: Seconds = Field(30, gt=0)
    stream_wait: Annotated[Annotated[Seconds | None, Field(gt=0)], BeforeValidator(_unless_off)] = 5
    api_key: Credential = ""
    cors_origins: Origins = ()
    hosts: Hosts = ()
    trusted_proxies: Networks = ()
    allow_private: Networks = ()
    max_body_mb: Megabytes = Field(64, gt=0)
    max_bodies_mb: Megabytes = Field(1024, gt=0)
    max_connections: int = Field(4096, ge=1)
    max_connections_per_address: int = Field(512, ge=1)
    send_timeout: Seconds = Field(60, gt=0)
    auto_add: bool = False
    infer_steps: int = Field(30, ge=1, le=150)
    infer_guidance: float = Field(7.5, ge=1, le=20)
    capture_requests: int = Field(0, ge=0, le=200)
    capture_body_kb: float = Field(64, gt=0, le=1024)
