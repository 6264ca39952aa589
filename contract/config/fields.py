"""What sections of the configuration have in common: immutable, no unknown keys, lists also as text."""

from __future__ import annotations

import ipaddress
import re
from typing import Annotated, Any

from pydantic import AfterValidator, BaseModel, BeforeValidator, ConfigDict, ValidationInfo, field_validator

from contract import durations


class Frozen(BaseModel):
    """An immutable section of the configuration; unknown keys are errors. Validators are built at first use."""

    model_config = ConfigDict(frozen=True, extra="forbid", defer_build=True)

    @field_validator("*", mode="before")
    @classmethod
    def _no_truth_as_number(cls, value: Any, info: ValidationInfo) -> Any:
        """Refuse `port: yes`, which YAML reads as true and Python as 1."""
        field = cls.model_fields[info.field_name or ""]
        if isinstance(value, bool) and field.annotation in (int, float):
            raise ValueError(
                f"write a number, not {str(value).lower()}; YAML reads yes and on as true, no and off as false"
            )
        return value


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


def _seconds(value: Any) -> Any:
    """`5m` as 300; its ValueError says what is wrong."""
    try:
        return durations.seconds(value) if isinstance(value, str) else value
    except ValueError:
        raise ValueError(f"write seconds such as 300, or a time such as 30s, 5m or 1h30m, not {value!r}") from None


Seconds = Annotated[float, BeforeValidator(_seconds)]
"""A time in seconds; as a text, with its units."""


_UNITS = {"": 1.0, "g": 1.0, "gb": 1.0, "gib": 1.0, "m": 2**-10, "mb": 2**-10, "mib": 2**-10}
_UNITS |= {"t": 2.0**10, "tb": 2.0**10, "tib": 2.0**10}
_SIZE = re.compile(r"\s*([0-9]+(?:\.[0-9]+)?)\s*([a-z]*)\s*", re.IGNORECASE)


def _gigabytes(value: Any) -> Any:
    """`8GB` and `8 GiB` as 8; its ValueError says what is wrong. A GB is 2^30 bytes in the whole configuration."""
    if not isinstance(value, str):
        return value
    match = _SIZE.fullmatch(value)
    if match is None or match[2].lower() not in _UNITS:
        raise ValueError(f"write a number of GiB such as 8, or a size such as 8GB or 500MB, not {value!r}")
    return float(match[1]) * _UNITS[match[2].lower()]


def _megabytes(value: Any) -> Any:
    """`64MB` as 64 and `1GB` as 1024; a plain number is one of MiB."""
    if not isinstance(value, str) or value.strip().replace(".", "", 1).isdigit():
        return value
    return _gigabytes(value) * 1024


Gigabytes = Annotated[float, BeforeValidator(_gigabytes)]
"""Memory or disk space in GiB; as a text, with its unit."""
Megabytes = Annotated[float, BeforeValidator(_megabytes)]
"""A size in MiB; as a text, with its unit."""


def _check_origins(origins: tuple[str, ...]) -> tuple[str, ...]:
    for origin in origins:
        scheme, mark, rest = origin.partition("://")
        if origin != "*" and not (mark and scheme and rest and "/" not in rest):
            raise ValueError(f"write an origin as browsers send it, such as https://{rest.partition('/')[0] or origin}")
    return origins


Origins = Annotated[NameList, AfterValidator(_check_origins)]
"""Origins of web pages: scheme, host and port, without a path; or `*`."""


def _check_hosts(hosts: tuple[str, ...]) -> tuple[str, ...]:
    for host in hosts:
        if "/" in host:
            name = host.partition("://")[2].partition("/")[0] or host.partition("/")[0]
            raise ValueError(f"write the name alone, such as {name}, not {host!r}")
    return hosts


Hosts = Annotated[NameList, AfterValidator(_check_hosts)]
"""Names by which clients address a server, without a scheme or a path."""


def _check_networks(networks: tuple[str, ...]) -> tuple[str, ...]:
    for network in networks:
        ipaddress.ip_network(network, strict=False)  # its ValueError says what is wrong
    return networks


Networks = Annotated[NameList, AfterValidator(_check_networks)]
