"""What every route needs to forward a request."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

from starlette.types import Scope

from contract.asgi.pacing import Pacing
from gateway.forwarding.auto_add import AutoAdd
from gateway.forwarding.external_forwarder import ExternalForwarder
from gateway.forwarding.manager_client import ManagerClient
from gateway.forwarding.model_directory import ModelDirectory
from gateway.forwarding.task_forwarder import TaskForwarder


@dataclass(frozen=True, slots=True)
class Services:
    """The parts that routes share; `body_limit` is the maximum size of a request body in bytes.

    `pacing` lets requests for models begin a few at a time, so that the paths for health and control stay quick.
    `check_origin` raises Forbidden for a request of a web page that may not run a model.
    """

    manager: ManagerClient
    directory: ModelDirectory
    auto_add: AutoAdd
    tasks: TaskForwarder
    external: ExternalForwarder
    body_limit: int
    pacing: Pacing
    check_origin: Callable[[Scope], None]
