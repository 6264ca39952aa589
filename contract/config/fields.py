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


def _check_networks(networks: tuple[str, ...]) -> tuple[str, ...]:
    for network in networks:
        ipaddress.ip_network(network, strict=False)  # its ValueError says what is wrong
    return networks


Networks = Annotated[NameList, AfterValidator(_check_networks)]
