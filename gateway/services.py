"""What every route needs to forward a request."""

from __future__ import annotations

from dataclasses import dataclass

from gateway.forwarding.manager_client import ManagerClient
from gateway.forwarding.model_directory import ModelDirectory
from gateway.forwarding.task_forwarder import TaskForwarder


@dataclass(frozen=True, slots=True)
class Services:
    """The parts that routes share; `body_limit` is the maximum size of a request body in bytes.

    `stream_wait`: seconds after which a stream that waits for its model gets signs of life; None: never.
    """

    manager: ManagerClient
    directory: ModelDirectory
    tasks: TaskForwarder
    body_limit: int
    stream_wait: float | None
