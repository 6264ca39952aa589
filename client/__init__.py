"""The Python client of Enginehouse: `Client` and `AsyncClient`, functions for depth and point clouds, named servers.

`pip install '.[client]'` in a clone's folder installs it, and no model library.
"""

from __future__ import annotations

from client.async_client import AsyncClient
from client.depth_client import (
    decode_depth_map,
    decode_pointcloud,
    get_health,
    predict_metric_depth,
    predict_pointcloud,
    predict_relative_depth,
)
from client.errors import ServerError
from client.images import encode_image
from client.loading import LoadProgress
from client.servers import Server, load_servers
from client.sync_client import Client

__all__ = [
    "AsyncClient",
    "Client",
    "LoadProgress",
    "Server",
    "ServerError",
    "decode_depth_map",
    "decode_pointcloud",
    "encode_image",
    "get_health",
    "load_servers",
    "predict_metric_depth",
    "predict_pointcloud",
    "predict_relative_depth",
]
