"""A Python client of Enginehouse: functions for depth and point clouds, and named servers.

Needs `pip install 'enginehouse[client]'`, which installs no model library.
"""

from __future__ import annotations

from client.depth_client import (
    decode_depth_map,
    decode_pointcloud,
    encode_image,
    get_health,
    predict_metric_depth,
    predict_pointcloud,
    predict_relative_depth,
)
from client.servers import Server, load_servers

__all__ = [
    "Server",
    "decode_depth_map",
    "decode_pointcloud",
    "encode_image",
    "get_health",
    "load_servers",
    "predict_metric_depth",
    "predict_pointcloud",
    "predict_relative_depth",
]
