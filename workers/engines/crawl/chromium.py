"""Finds Chromium, and says with which arguments it runs: sandboxed, and with no way to the network but our proxy."""

from __future__ import annotations

import os
import shutil
import sys
from dataclasses import dataclass
from pathlib import Path

from contract.errors import LoadFailed

_NAMES = ("chromium-headless-shell", "chromium", "chromium-browser", "google-chrome", "google-chrome-stable")
_MAC_APPS = (
    "/Applications/Chromium.app/Contents/MacOS/Chromium",
    "/Applications/Google Chrome.app/Contents/MacOS/Google Chrome",
)

ARGUMENTS = (
    # All of it leaves through the proxy; nothing is resolved here, and nothing is sent by UDP.
    "--host-resolver-rules=MAP * ~NOTFOUND , EXCLUDE 127.0.0.1",
    "--disable-quic",
    "--force-webrtc-ip-handling-policy=disable_non_proxied_udp",
    "--webrtc-ip-handling-policy=disable_non_proxied_udp",
    "--dns-prefetch-disable",
    "--disable-gpu",
)

UNPRIVILEGED = Path(__file__).with_name("unprivileged.py")
"""The program that starts Chromium as another user than root."""


@dataclass(frozen=True, slots=True)
class LaunchWay:
    """A way to start Chromium: with its sandbox or without, and as an unprivileged user if we are root."""

    sandbox: bool
    unprivileged: bool

    @property
    def weakness(self) -> str | None:
        """What protection it lacks, in a sentence for the operator."""
        if self.sandbox:
            return None
        user = "as an unprivileged user" if self.unprivileged else f"as the user with the id {os.geteuid()}"
        return (
            f"Chromium runs without its sandbox, {user}: a page that exploits a fault of Chromium can do what this "
            "user can. For the sandbox, run Enginehouse as a normal user where user namespaces are allowed (in Docker: "
            "`--security-opt seccomp=unconfined`), without `sandbox: false` in the entry's options."
        )


def find(executable: str | None, playwrights_own: str) -> str:
    """The browser to start: the configured one, Playwright's own, or one of the system. Raises LoadFailed."""
    if executable:
        if found := shutil.which(executable):
            return found
        raise LoadFailed(
            f"`options.executable`: {executable} is no program on this machine. Leave it out, or correct it."
        )
    candidates = (shutil.which(candidate) for candidate in (playwrights_own, *_NAMES, *_MAC_APPS))
    if found := next(filter(None, candidates), None):
        return found
    raise LoadFailed(
        "There is no Chromium on this machine. On Debian, run `sudo apt-get install chromium-headless-shell`; "
        f"elsewhere, run `{sys.executable} -m playwright install --with-deps --only-shell chromium`."
    )


def ways(sandbox: bool | None, *, root: bool) -> list[LaunchWay]:
    """The ways to try, safest first. `sandbox`: True for nothing but the sandbox, False for none, None for the best."""
    # Chromium refuses to run its sandbox as root.
    sandboxed = [LaunchWay(sandbox=True, unprivileged=root)]
    users = (True, False) if root else (False,)
    open_ = [LaunchWay(sandbox=False, unprivileged=unprivileged) for unprivileged in users]
    return [*(sandboxed if sandbox is not False else ()), *(open_ if sandbox is not True else ())]
