"""What sections of the configuration have in common: immutable, no unknown keys, lists also as text."""

from __future__ import annotations

import ipaddress
from typing import Annotated, Any

from pydantic import AfterValidator, BaseModel, BeforeValidator, ConfigDict


class Frozen(BaseModel):
    """An immutable section of the configuration; unknown keys are errors."""

    model_config = ConfigDict(frozen=True, extra="forbid")


def split(value: Any) -> Any:
    """Split a comma-separated text into a list: environment variables have no lists."""
    return [part.strip() for part in value.split(",") if part.strip()] if isinstance(value, str) else value


NameList = Annotated[tuple[str, ...], BeforeValidator(split)]


def _port_range(value: Any) -> Any:
    """`8001-8099` as a pair; its ValueError says what is wrong."""
    if value is None or value == "":
        return None
    first, _, last = str(value).partition("-")
    if not (first.strip().isdecimal() and last.strip().isdecimal() and 0 < int(first) <= int(last) <= 65535):
        raise ValueError(f"write a range of ports such as 8001-8099, not {value!r}")
    return int(first), int(last)


PortRange = Annotated[tuple[int, int] | None, BeforeValidator(_port_range)]
"""The first and the last port of a range, written as `8001-8099`; None for any."""


def _check_networks(networks: tuple[str, ...]) -> tuple[str, ...]:
    for network in networks:
        ipaddress.ip_network(network, strict=False)  # its ValueError says what is wrong
    return networks


Networks = Annotated[NameList, AfterValidator(_check_networks)]
