"""Draws the depth map and the point cloud of an image: python examples/depth.py street.png [server] [output.png]

The server is a name of client/servers.yaml, or an address. Needs `pip install 'enginehouse[client]'`, and matplotlib to
draw.
"""

from __future__ import annotations

import importlib.util
import sys
from typing import Any

from PIL import Image

import client


def main(image: str, name: str = "local", output: str = "depth.png") -> None:
    server = client.load_servers().get(name) or client.Server(name)
    with Image.open(image) as opened:
        width, height = opened.size
    camera = {"fx": width, "fy": width, "cx": width / 2, "cy": height / 2}  # a guess: a view of 53 degrees
    answer = client.predict_pointcloud(
        client.encode_image(image), camera, server.base_url, max_depth=20.0, encoder="vits", api_key=server.api_key
    )
    depth = client.decode_depth_map(answer["depth_map"], answer["depth_shape"])
    points = client.decode_pointcloud(answer["pointcloud"], answer["pointcloud_shape"])
    print(f"depth from {answer['min']:.2f} to {answer['max']:.2f} m, {len(points)} points")
    if importlib.util.find_spec("matplotlib"):
        draw(depth, points, output)
    else:
        print("`pip install matplotlib` to draw them")


def draw(depth: Any, points: Any, output: str) -> None:
    import matplotlib

    matplotlib.use("Agg")  # draws into a file, also where there is no display
    from matplotlib import pyplot

    figure = pyplot.figure(figsize=(12, 5))
    flat = figure.add_subplot(1, 2, 1)
    figure.colorbar(flat.imshow(depth, cmap="Spectral"), ax=flat, label="metres")
    space = figure.add_subplot(1, 2, 2, projection="3d")
    x, y, z = points[:: max(1, len(points) // 5000)].T
    space.scatter(x, z, -y, c=z, s=1, cmap="Spectral")
    figure.savefig(output)
    print(f"drawn: {output}")


if __name__ == "__main__":
    main(*sys.argv[1:])
