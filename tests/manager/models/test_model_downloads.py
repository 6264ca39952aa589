"""The manager's downloads: one for each source, ended by silence, cancelled without remains, with real processes."""

from __future__ import annotations

import asyncio
import os
import resource
import subprocess
import sys
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from contract.config import ManagerSettings, ModelSpec
from contract.errors import DiskFull, DownloadFailed, HubStalled
from contract.hub_cache import PARTIAL
from contract.status import DownloadState
from manager.events import EventLog
from manager.models.downloads import local_copy
from manager.models.model_download import DownloadKey, ModelDownload
from manager.models.model_downloads import ModelDownloads
from scripts.testbed import hub
from scripts.testbed.server import eventually
from tests.support import hub_repositories
from tests.support.small_disk import small_disk

WEIGHTS = "a/model/model.safetensors"
SPEC = ModelSpec(id="m", engine="transformers_chat", source="a/model")
Make = Callable[..., ModelDownloads]


@pytest.fixture
def served(tmp_path: Path) -> Iterator[hub.Hub]:
    with hub.serve(hub_repositories.make(tmp_path / "hub", {"a/model": hub_repositories.MODEL})) as running:
        yield running


@pytest.fixture
def make(served: hub.Hub, tmp_path: Path) -> Make:
    def make(done: list[ModelDownload] | None = None, silence: Callable[[], float] = lambda: 300) -> ModelDownloads:
        on_done = (done if done is not None else []).append
        environ = hub_repositories.environment(served, tmp_path / "cache")
        return ModelDownloads(environ, lambda: ManagerSettings(download_silence=silence()), EventLog(), on_done)

    return make


def gets_of(served: hub.Hub, name: str) -> int:
    return sum(request.startswith("GET") and request.endswith(name) for request in served.requests)


def partial_files(folder: Path) -> list[Path]:
    return list(folder.rglob(f"*{PARTIAL}"))


async def until_weights(download: ModelDownload) -> None:
    """Wait until the download has the configuration, and waits for the weights."""
    while download.running and download.done < 200_000:
        await download.next(1)
    assert download.running, download.error


async def test_requests_share_a_download_and_see_its_progress(served: hub.Hub, make: Make) -> None:
    done: list[ModelDownload] = []
    downloads = make(done)
    served.faults[WEIGHTS] = "stalled"
    first = downloads.start(SPEC)
    assert downloads.start(SPEC.model_copy(update={"id": "another"})) is first
    await until_weights(first)
    assert (first.done, first.total) == (200_000, 400_000)
    seen = asyncio.create_task(_states(downloads, first))
    served.go.set()
    await first.result()
    assert (await seen)[-1] == (DownloadState.DONE, 400_000)
    assert done == [first]
    assert gets_of(served, "model.safetensors") == 1
    await downloads.close()


async def _states(downloads: ModelDownloads, download: ModelDownload) -> list[tuple[DownloadState, int]]:
    return [(status.state, status.bytes) async for status in downloads.updates(download, 1)]


async def test_two_servers_share_a_cache(served: hub.Hub, make: Make) -> None:
    """The second one shows the progress of the first."""
    served.faults[WEIGHTS] = "stalled"
    one, two = make(), make()
    first = one.start(SPEC)
    await until_weights(first)
    second = two.start(SPEC)
    while second.phase != "waiting" or second.done < 200_000:
        await second.next(1)
    served.go.set()
    await asyncio.gather(first.result(), second.result())
    assert gets_of(served, "model.safetensors") == 1
    await asyncio.gather(one.close(), two.close())


async def test_stalled_hub_ends_a_download_by_silence(served: hub.Hub, make: Make) -> None:
    served.faults[WEIGHTS] = "stalled"
    downloads = make(silence=lambda: 1)
    download = downloads.start(SPEC)
    with pytest.raises(HubStalled, match=f"The hub \\({served.url}\\) has sent nothing of a/model for 1 s"):
        await download.result()
    with pytest.raises(HubStalled) as raised:
        await downloads.start_again(SPEC)
    assert raised.value.details["retry_after"] > 0
    assert downloads.start(SPEC) is not download, "an explicit order does not wait"
    await downloads.close()


def make_weights_large(served: hub.Hub) -> None:
    """Weights of more than one chunk of the hub's client, of which half arrives before it stalls."""
    (served.folders["a/model"] / "model.safetensors").write_bytes(bytes(range(250)) * 4000)
    served.faults[WEIGHTS] = "stalled"


async def until_some_weights(download: ModelDownload) -> None:
    while download.running and download.done <= 200_000:
        await download.next(1)
    assert download.running, download.error


@pytest.mark.parametrize("end", ["cancelled", "killed", "stalled"])
async def test_next_attempt_continues_where_one_ended(served: hub.Hub, make: Make, tmp_path: Path, end: str) -> None:
    make_weights_large(served)
    silence = [300.0]
    downloads = make(silence=lambda: silence[0])
    download = downloads.start(SPEC)
    await until_some_weights(download)
    [partial] = partial_files(tmp_path)
    assert download.process is not None
    if end == "cancelled":
        await downloads.cancel(download)
    elif end == "killed":
        download.process.kill()
    else:
        silence[0] = 0.1
    with pytest.raises(DownloadFailed):
        await download.result()
    await downloads.close()
    received = partial.stat().st_size
    served.faults.clear()
    downloads = make()
    await downloads.start(SPEC).result()
    assert served.ranges == [f"bytes={received}-"]
    assert not partial_files(tmp_path)
    assert local_copy(SPEC, {"HF_HOME": str(tmp_path / "cache")}).downloaded is True
    await downloads.close()


async def test_slow_link_shows_progress_within_a_file(served: hub.Hub, make: Make) -> None:
    """Otherwise it looks stalled: a link of 50 kB/s takes minutes for the 10 MiB that the hub's client collects."""
    make_weights_large(served)
    downloads = make()
    download = downloads.start(SPEC)
    await until_some_weights(download)
    assert 200_000 < download.done < download.total == 1_200_000
    served.go.set()
    await download.result()
    assert download.done == 1_200_000
    await downloads.close()


@pytest.mark.skipif(not hasattr(resource, "prlimit"), reason="only Linux changes limits of other processes")
async def test_disk_that_fills_midway_is_explained(served: hub.Hub, make: Make, tmp_path: Path) -> None:
    make_weights_large(served)
    downloads = make()
    download = downloads.start(SPEC)
    await until_some_weights(download)
    assert download.process is not None
    resource.prlimit(download.process.pid, resource.RLIMIT_FSIZE, (300_000, 300_000))
    served.go.set()
    with pytest.raises(DiskFull, match=r"does not take files as large as model\.safetensors of a/model"):
        await download.result()
    environ = {"HF_HOME": str(tmp_path / "cache")}
    assert local_copy(SPEC, environ).downloaded is False
    assert [path.name for path in (tmp_path / "cache").rglob("model.safetensors")] == []
    served.faults.clear()
    await downloads.start(SPEC).result()
    assert local_copy(SPEC, environ).downloaded is True
    assert gets_of(served, "config.json") == 1, "what was complete is kept"
    await downloads.close()


@pytest.mark.e2e
async def test_disk_that_is_full_midway_is_explained(served: hub.Hub, make: Make, tmp_path: Path) -> None:
    make_weights_large(served)
    with small_disk(tmp_path / "cache", 8) as disk:
        downloads = make()
        download = downloads.start(SPEC)
        await until_some_weights(download)
        disk.fill()
        served.go.set()
        with pytest.raises(DiskFull, match=r"a/model needs [01]\.\d MB more, and .* has 0\.0 MB free") as full:
            await download.result()
        assert full.value.headers == {"x-should-retry": "false"}
        environ = {"HF_HOME": str(tmp_path / "cache")}
        assert local_copy(SPEC, environ).downloaded is False
        served.faults.clear()
        with pytest.raises(DiskFull):  # before anything is fetched
            await downloads.start(SPEC).result()
        with pytest.raises(DiskFull):  # no other attempt
            await downloads.start_again(SPEC)
        [partial] = partial_files(tmp_path)
        received = partial.stat().st_size
        assert received > 0
        disk.free()
        await (await downloads.start_again(SPEC)).result()  # at once
        assert served.ranges == [f"bytes={received}-"]
        assert local_copy(SPEC, environ).downloaded is True
        assert gets_of(served, "config.json") == 1, "what was complete is kept"
        await downloads.close()


async def test_failure_says_why(make: Make) -> None:
    downloads = make()
    with pytest.raises(DownloadFailed, match="The hub has no model a/nothing, or it is private"):
        await downloads.start(SPEC.model_copy(update={"source": "a/nothing"})).result()
    await downloads.close()


def test_download_ends_with_its_manager(served: hub.Hub, tmp_path: Path) -> None:
    served.faults[WEIGHTS] = "stalled"
    environ = os.environ | hub_repositories.environment(served, tmp_path / "cache")
    command = [sys.executable, "-m", "workers.download"]
    with subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.DEVNULL, env=environ) as process:
        assert process.stdin is not None
        process.stdin.write(b'{"source": "a/model"}\n')
        process.stdin.flush()
        eventually("a partial file", lambda: partial_files(tmp_path))
        process.stdin.close()
        assert process.wait(60) == 1
    assert len(partial_files(tmp_path)) == 1, "for the next attempt"


def test_rate_and_time_left_are_estimated() -> None:
    download = ModelDownload(DownloadKey("a/model", None, Path("/cache")), "m")
    assert download.seconds_left is None
    for second in range(5):
        download.update({"phase": "downloading", "done": second * 10_000_000, "total": 100_000_000}, float(second))
    assert (download.rate, download.seconds_left) == (10_000_000, 6)
    assert download.message() == "downloading a/model: 40 of 100 MB, about 6 s left"
