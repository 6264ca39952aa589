"""Functions for the paths of a Depth Anything V2 server: `/pc`, `/metric_depth`, `/rel_depth` and `/health`."""

from __future__ import annotations

import base64
from collections.abc import Mapping, Sequence
from typing import Any

import httpx2
import numpy as np

from client.errors import error_in, unreachable

BASE_URL = "http://localhost:8000"
TIMEOUT = 600.0
"""Seconds that an answer may take: a model that does not run yet is loaded, or even downloaded, first."""


def predict_pointcloud(
    image: str,
    camera_intrinsics: Mapping[str, float],
    base_url: str = BASE_URL,
    max_depth: float = 1.0,
    encoder: str = "vitl",
    dataset: str = "hypersim",
    model_input_size: int = 518,
    api_key: str | None = None,
) -> dict[str, Any]:
    """The points and the depth of an image.

    `image` is base64 (see `encode_image`) or a URL, `camera_intrinsics` are `fx`, `fy`, `cx` and `cy` in pixels. Read
    the answer with `decode_pointcloud(answer["pointcloud"], answer["pointcloud_shape"])` and
    `decode_depth_map(answer["depth_map"], answer["depth_shape"])`. Raises ServerError.
    """
    body = _body(image, encoder, dataset, model_input_size)
    body |= {"camera_intrinsics": dict(camera_intrinsics), "max_depth": max_depth}
    return _answer("POST", base_url, "/pc", api_key, body)


def predict_metric_depth(
    image: str,
    base_url: str = BASE_URL,
    max_depth: float = 1.0,
    encoder: str = "vitl",
    dataset: str = "hypersim",
    model_input_size: int = 518,
    api_key: str | None = None,
) -> dict[str, Any]:
    """The depth of an image, up to `max_depth`; read it with `decode_depth_map(answer["depth_map"], answer["shape"])`.

    Raises ServerError.
    """
    body = _body(image, encoder, dataset, model_input_size) | {"max_depth": max_depth}
    return _answer("POST", base_url, "/metric_depth", api_key, body)


def predict_relative_depth(
    image: str,
    base_url: str = BASE_URL,
    encoder: str = "vitl",
    dataset: str = "hypersim",
    model_input_size: int = 518,
    api_key: str | None = None,
) -> dict[str, Any]:
    """The depth of an image from 0 to 1; read it with `decode_depth_map(answer["depth_map"], answer["shape"])`.

    Raises ServerError.
    """
    return _answer("POST", base_url, "/rel_depth", api_key, _body(image, encoder, dataset, model_input_size))


def get_health(base_url: str = BASE_URL, api_key: str | None = None) -> dict[str, Any]:
    """What the server says of itself. Raises ServerError."""
    return _answer("GET", base_url, "/health", api_key)


def decode_pointcloud(pointcloud: str, shape: Sequence[int]) -> np.ndarray[Any, Any]:
    """The points as float32 of (points, 3)."""
    return _array(pointcloud, shape)


def decode_depth_map(depth_map: str, shape: Sequence[int]) -> np.ndarray[Any, Any]:
    """The depth as float32 of (height, width)."""
    return _array(depth_map, shape)


def _body(image: str, encoder: str, dataset: str, model_input_size: int) -> dict[str, Any]:
    """The fields that all three requests have."""
    return {"image": image, "encoder": encoder, "dataset": dataset, "model_input_size": model_input_size}


def _array(text: str, shape: Sequence[int]) -> np.ndarray[Any, Any]:
    array: np.ndarray[Any, Any] = np.frombuffer(base64.b64decode(text), "<f4").reshape(tuple(shape)).copy()
    return array


def _headers(api_key: str | None) -> dict[str, str]:
    return {"authorization": f"Bearer {api_key}"} if api_key else {}


def _answer(
    method: str, base_url: str, path: str, api_key: str | None, body: Mapping[str, Any] | None = None
) -> dict[str, Any]:
    url = base_url.rstrip("/") + path
    try:
        response = httpx2.request(method, url, json=body, headers=_headers(api_key), timeout=TIMEOUT)
    except httpx2.HTTPError as error:
        raise unreachable(url, error) from error
    if response.status_code >= 400:
        raise error_in(response)
    document: dict[str, Any] = response.json()
    return document
