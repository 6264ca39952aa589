"""A house from the first request to the last, told as it happens. Exits with 0 only if all went as it should."""

from __future__ import annotations

import io
import shutil
import sys
import time
from collections.abc import Iterable
from contextlib import redirect_stdout

from scripts.demo import acts, stage
from scripts.demo.acts import Act
from scripts.demo.chorus import along
from scripts.demo.stage import IDLE, Stage, opened
from scripts.demo.voice import say, title, verdict

SCENES: tuple[tuple[str, str, Act], ...] = (
    ("ocr", "Reads the text in a picture", acts.read),
    ("minilm", "Embeds sentences", acts.embed),
    ("demo-chat", "Chats, streamed", acts.chat),
    ("demo-image", "Draws", acts.draw),
)


class Show:
    """One run of the demonstration, and what went wrong in it."""

    def __init__(self, house: Stage) -> None:
        self.house = house
        self.wrong: list[str] = []

    def check(self, text: str, *, good: bool) -> None:
        """Tell, and remember if it is not as it should be."""
        verdict(text, good=good)
        if not good:
            self.wrong.append(text)

    def run(self) -> None:
        """All scenes."""
        empty = self.house.memory()
        self.check(f"nothing runs but gateway and manager: {_mib(empty)}", good=not self.house.status()["workers"])
        cold = {model: self.ask(model, f"{what}: a worker is born for it", act) for model, what, act in SCENES}
        full = self.house.memory()
        resident = self.ask_again()
        self.see_them_go(empty, full)
        standby = self.from_standby()
        title("Seconds until the whole answer")
        say("              cold   from standby   resident")
        for model, seconds in cold.items():
            ratio = f"({seconds / standby[model]:.1f} times faster)"
            say(f"{model:12} {seconds:5.2f}   {standby[model]:12.2f}   {resident[model]:8.2f}   {ratio}")
        self.check("standbys save time", good=sum(standby.values()) < sum(cold.values()))

    def ask(self, model: str, what: str, act: Act) -> float:
        """Play one scene. Seconds until its answer was complete."""
        title(what)
        began = time.monotonic()
        good = act(self.house)
        took = time.monotonic() - began
        self.check(f"{model} answered after {took:.2f} s", good=good)
        return took

    def ask_again(self) -> dict[str, float]:
        """Ask each model once more, quietly, with a short `keep_alive`. Seconds until each answer was complete."""
        title(f"All four run. Each is asked the same again, and may go {IDLE:.0f} s later (`keep_alive`)")
        self.house.keep_alive = IDLE
        took = {}
        for model, _, act in SCENES:
            began = time.monotonic()
            with redirect_stdout(io.StringIO()):
                good = act(self.house)
            took[model] = time.monotonic() - began
            self.check(f"{model} answered after {took[model]:.2f} s", good=good)
        return took

    def see_them_go(self, empty: int, full: int) -> None:
        """Wait until the workers have been idle for long enough."""
        title("Nobody asks any more: they go, and their memory comes back")
        gone = self.house.wait_until_idle_workers_are_gone()
        after = self.house.memory()
        self.check(f"memory: {_mib(empty)} before, {_mib(full)} with four models, {_mib(after)} now",
                   good=gone and after < empty + (full - empty) / 10)  # fmt: skip

    def from_standby(self) -> dict[str, float]:
        """Play the scenes again with processes that are ready and only lack a model."""
        title("Now with standbys: processes born early, which have imported what an engine needs and wait for a model")
        self.house.keep_standbys()
        self.check("one for each engine is there", good=self.house.wait_for_standbys())
        return {model: self.ask(model, f"{what}: from standby", act) for model, what, act in SCENES}


def _mib(count: int) -> str:
    return f"{count / 2**20:.0f} MiB"


def _report(wrong: Iterable[str]) -> int:
    problems = list(wrong)
    title("All went as it should." if not problems else "Not all went as it should:")
    for problem in problems:
        say(problem)
    return 1 if problems else 0


def main() -> int:
    """Returns the exit code."""
    shutil.rmtree(stage.HOME, ignore_errors=True)
    began = time.monotonic()
    title("A house opens, with ports and a folder of its own")
    with opened() as house:
        say(f"ready after {time.monotonic() - began:.1f} s at {house.url}/v1; the client is the OpenAI SDK")
        show = Show(house)
        with along(house.url):
            show.run()
            title("The house closes")
    show.check("no process is left", good=not stage.left_over())
    return _report(show.wrong)


if __name__ == "__main__":
    sys.exit(main())
