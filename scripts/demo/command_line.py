"""What the demo shows of the command `enginehouse`: a download with its bar, a job with its steps, and drawn boxes."""

from __future__ import annotations

import os
import shlex
import subprocess
import sys
from pathlib import Path

from client import Client
from scripts.demo import console
from scripts.demo.environment import FOLDER, PULLED, ROOT, DemoEnvironment

_STEPS = 40


def pull(demo: DemoEnvironment) -> bool:
    """Download a model from a hub on this machine, and remove it again."""
    shown = _run(demo, "pull", PULLED)
    return shown and _run(demo, "rm", PULLED)


def follow_job(demo: DemoEnvironment) -> bool:
    """Store a request, and follow its steps until it ends."""
    body = {"model": "demo-image", "prompt": "a red barn in the snow", "steps": _STEPS, **demo.extra}
    with Client(demo.server.url) as client:
        job = client.submit_job("image-generation", body)
        console.line(f"job {job.job_id} is {job.status}; it runs even if its client disconnects")
        last = job
        for last in client.follow_job(job.job_id):
            progress = last.progress or {}
            done, total = progress.get("done") or 0, progress.get("total") or _STEPS
            if last.status == "running":
                console.line(
                    f"  {'█' * (24 * done // total):░<24} {progress.get('message') or f'{done} of {total} steps'}"
                )
        console.line(f"  {last.status} after {last.processing_time:.2f} s")
    return last.status == "completed"


def draw_boxes(demo: DemoEnvironment) -> bool:
    """Draw boxes around what a detector sees; one with random weights sees something everywhere."""
    boxed = FOLDER / "boxed.png"
    boxed.unlink(missing_ok=True)
    image = _image(FOLDER / "image.png")
    options = ("-p", "a cat", "-O", "box_threshold=0", "-O", "max_detections=3")
    passed = _run(
        demo, "run", "demo-detect", str(image.relative_to(ROOT)), *options, "-o", str(boxed.relative_to(ROOT))
    )
    return passed and boxed.exists()


def _run(demo: DemoEnvironment, *arguments: str) -> bool:
    """Run the command, whose output goes to the terminal."""
    console.line(f"$ enginehouse {shlex.join(arguments)}")
    environ = {**os.environ, "ENGINEHOUSE_URL": demo.server.url}
    return (
        subprocess.run([sys.executable, "-m", "command", *arguments], cwd=ROOT, env=environ, check=False).returncode
        == 0
    )


def _image(path: Path) -> Path:
    """Save an image with a few shapes."""
    from PIL import Image, ImageDraw

    image = Image.new("RGB", (240, 160), "lightblue")
    pen = ImageDraw.Draw(image)
    pen.ellipse((20, 40, 110, 130), fill="orange")
    pen.rectangle((140, 60, 220, 140), fill="darkgreen")
    image.save(path)
    return path
