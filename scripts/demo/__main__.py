"""Runs a server from its first request to its last and explains each step. Exits with 0 only if all checks pass.

`python -m scripts.demo ocr demo-chat` shows only these models.
"""

from __future__ import annotations

import io
import signal
import sys
import time
from collections.abc import Sequence
from contextlib import redirect_stdout

from scripts.demo import command_line, console, other_apis, steps
from scripts.demo.environment import LONG_KEEP_ALIVE, MODELS, SHORT_KEEP_ALIVE, DemoEnvironment
from scripts.demo.event_printer import printing_events
from scripts.demo.steps import DemoStep

STEPS: tuple[tuple[str, str, DemoStep], ...] = (
    ("ocr", "Read the text in an image", steps.read_text),
    ("minilm", "Embed sentences", steps.embed),
    ("demo-chat", "Chat, streamed", steps.chat),
    ("demo-image", "Generate an image", steps.generate_image),
)


COMMAND_STEPS: tuple[tuple[str, str, DemoStep], ...] = (
    ("demo-chat", "Download a model, from a hub on this machine", command_line.pull),
    ("demo-image", "A request that runs later: a job and its steps", command_line.follow_job),
    ("demo-detect", "Boxes around what a model sees", command_line.draw_boxes),
)


class Demo:
    """One run of the demo, and the checks that failed in it."""

    def __init__(self, models: Sequence[str]) -> None:
        self.steps = [step for step in STEPS if step[0] in models]
        self.environment = DemoEnvironment(models)
        self.failed: list[str] = []

    def check(self, text: str, *, passed: bool) -> None:
        """Print the result of a check, and remember it if it failed."""
        console.check(text, passed=passed)
        if not passed:
            self.failed.append(text)

    def run(self) -> None:
        """All steps on a running server."""
        empty = self.environment.memory()
        no_workers = not self.environment.server.workers()
        self.check(f"only gateway and manager are running: {_mib(empty)}", passed=no_workers)
        cold = {model: self.step(model, f"{what}: a worker starts", step) for model, what, step in self.steps}
        full = self.environment.memory()
        running = self.repeat_quietly()
        self.wait_for_idle_stop(empty, full)
        standby = self.repeat_from_standby()
        console.title("Seconds until the complete answer")
        console.line("              cold   from standby   running")
        for model, seconds in cold.items():
            ratio = f"({seconds / standby[model]:.1f} times faster)"
            console.line(f"{model:12} {seconds:5.2f}   {standby[model]:12.2f}   {running[model]:7.2f}   {ratio}")
        started_early = [worker["from_standby"] for worker in self.environment.server.workers()]
        self.check("every worker was a standby", passed=started_early == [True] * len(self.steps))
        self.ask_other_apis()
        self.show_the_command()

    def step(self, model: str, what: str, step: DemoStep, verb: str = "answered") -> float:
        """Run one step. Returns the seconds until its answer was complete."""
        console.title(what)
        started = time.monotonic()
        passed = step(self.environment)
        seconds = time.monotonic() - started
        self.check(f"{model} {verb} after {seconds:.2f} s", passed=passed)
        return seconds

    def repeat_quietly(self) -> dict[str, float]:
        """Send each request again with a short `keep_alive`. Returns the seconds until each answer was complete."""
        console.title(f"All models are running. Each request again, with a keep_alive of {SHORT_KEEP_ALIVE:.0f} s")
        self.environment.keep_alive = SHORT_KEEP_ALIVE
        seconds = {}
        for model, _, step in self.steps:
            started = time.monotonic()
            with redirect_stdout(io.StringIO()):
                passed = step(self.environment)
            seconds[model] = time.monotonic() - started
            self.check(f"{model} answered after {seconds[model]:.2f} s", passed=passed)
        return seconds

    def wait_for_idle_stop(self, empty: int, full: int) -> None:
        """Wait until the idle workers have ended, and compare the memory before, with and after them."""
        console.title("No more requests: the workers end, and their memory is free again")
        gone = self.environment.wait_until_workers_are_gone()
        after = self.environment.memory()
        self.check(
            f"memory: {_mib(empty)} before, {_mib(full)} with all models, {_mib(after)} now",
            passed=gone and after < empty + (full - empty) / 10,
        )

    def ask_other_apis(self) -> None:
        """One request for each API whose model is in the demo."""
        console.title("Clients of other servers need no change")
        models = {model["id"] for model in self.environment.models}
        for api, model, path, body in other_apis.REQUESTS:
            if model in models:
                started = time.monotonic()
                passed = other_apis.ask(self.environment, path, body)
                self.check(f"{api}: answered after {time.monotonic() - started:.2f} s", passed=passed)

    def show_the_command(self) -> None:
        """What the command shows: a download with its bar, a job with its steps, and drawn boxes."""
        models = {model["id"] for model in self.environment.models}
        for model, what, step in COMMAND_STEPS:
            if model in models:
                self.step(model, what, step, "done")

    def repeat_from_standby(self) -> dict[str, float]:
        """Run the steps again with standbys. Returns the seconds until each answer was complete."""
        console.title("With standbys: processes that have imported an engine's libraries and wait for a model")
        self.environment.keep_alive = LONG_KEEP_ALIVE
        self.environment.enable_standbys()
        self.check("each engine has a standby", passed=self.environment.wait_for_standbys())
        return {model: self.step(model, f"{what}: from a standby", step) for model, what, step in self.steps}


def _mib(count: int) -> str:
    return f"{count / 2**20:.0f} MiB"


def _report(failed: Sequence[str]) -> int:
    console.title("These checks failed:" if failed else "All checks passed.")
    for text in failed:
        console.line(text)
    if not failed:
        console.line("Next: `make start` runs a server at http://localhost:8000; the README shows what to ask it.")
    return 1 if failed else 0


def main(models: Sequence[str]) -> int:
    """Show these models, or all. Returns the exit code."""
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(143))  # stops the server, as Ctrl-C does
    started = time.monotonic()
    console.title("Start a server with ports and a folder of its own")
    demo = Demo(models or [model["id"] for model in MODELS])
    with demo.environment.with_hub(), demo.environment.server as server:
        seconds = time.monotonic() - started
        console.line(f"ready after {seconds:.1f} s at {server.url}/v1; the client is OpenAI's Python SDK")
        with printing_events(server.url):
            demo.run()
            console.title("Stop the server")
    demo.check("no process is left", passed=not server.descendants())
    return _report(demo.failed)


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
