"""Generates load with wrk, which is written in C: a load generator in Python would measure itself."""

from __future__ import annotations

import json
import shutil
import subprocess
import tempfile
from collections.abc import Sequence
from dataclasses import dataclass

MISSING = "wrk is not installed (apt-get install wrk)"

_SCRIPT = """
local bodies, turn = {%s}, 0
wrk.method = "POST"
wrk.headers["content-type"] = "application/json"
wrk.headers["authorization"] = "Bearer %s"
function request()
  turn = turn %% #bodies + 1
  return wrk.format(nil, nil, nil, bodies[turn])
end
function done(summary, latency, requests)
  local errors = summary.errors
  io.write(string.format('{"requests": %%d, "seconds": %%f, "p50": %%f, "p99": %%f, "failed": %%d}\\n',
    summary.requests, summary.duration / 1e6, latency:percentile(50) / 1e3, latency:percentile(99) / 1e3,
    errors.connect + errors.read + errors.write + errors.status + errors.timeout))
end
"""


@dataclass(frozen=True, slots=True)
class Load:
    """How many answers, answers per second, and the median and 99th percentile of their latency in milliseconds."""

    requests: int
    rate: float
    p50: float
    p99: float


def is_installed() -> bool:
    return shutil.which("wrk") is not None


def run(url: str, bodies: Sequence[dict[str, object]], *, clients: int, seconds: float, key: str = "none") -> Load:
    """Send the bodies in turn over `clients` connections, each of which sends its next request after an answer.

    Raises RuntimeError if any answer is not 2xx.
    """
    texts = ", ".join(_lua_string(json.dumps(body)) for body in bodies)
    whole = f"{max(1, round(seconds))}s"  # wrk counts whole seconds
    with tempfile.NamedTemporaryFile("w", suffix=".lua") as script:
        script.write(_SCRIPT % (texts, key))
        script.flush()
        command = ["wrk", "-t1", f"-c{clients}", f"-d{whole}", "--timeout", "60s", "-s", script.name, url]
        output = subprocess.run(command, capture_output=True, text=True, check=True).stdout
    result = json.loads(output.splitlines()[-1])
    if result["failed"] or not result["requests"]:
        raise RuntimeError(f"{url}: {result['failed']} of {result['requests']} requests failed under load\n{output}")
    return Load(result["requests"], result["requests"] / result["seconds"], result["p50"], result["p99"])


def _lua_string(text: str) -> str:
    """JSON as a Lua string; with its ASCII escapes it cannot contain the closing bracket `]==]`."""
    return f"[==[{text}]==]"
