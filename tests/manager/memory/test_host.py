"""The host's memory within its cgroups, and the memory of real processes."""

from __future__ import annotations

import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import psutil
import pytest

from manager.memory.cgroup import Limit, limits
from manager.memory.device import GIB, Reading
from manager.memory.host import Host

MIB = 1 << 20


def machine(total: int, available: int) -> Any:
    return lambda: SimpleNamespace(total=total, available=available)


def write(folder: Path, **files: str) -> None:
    folder.mkdir(parents=True, exist_ok=True)
    for name, text in files.items():
        (folder / name.replace("__", ".")).write_text(text)


def test_version_2_limits_of_all_parents_are_read(tmp_path: Path) -> None:
    (tmp_path / "self").write_text("0::/user.slice/enginehouse.service\n")
    mount = tmp_path / "cgroup"
    write(
        mount / "user.slice/enginehouse.service",
        memory__max=f"{8 * GIB}\n",
        memory__current=f"{5 * GIB}\n",
        memory__stat=f"anon 1\ninactive_file {2 * GIB}\nactive_file 7\n",
    )
    write(mount / "user.slice", memory__max="max\n", memory__current=f"{9 * GIB}\n", memory__stat="")
    assert limits(tmp_path / "self", mount) == [Limit(8 * GIB, 3 * GIB)]


def test_version_1_limits_are_read_inside_a_container(tmp_path: Path) -> None:
    (tmp_path / "self").write_text("5:cpu:/docker/abc\n4:memory,hugetlb:/docker/abc\n0::/\n")
    mount = tmp_path / "cgroup"
    write(
        mount / "memory",
        memory__limit_in_bytes=f"{4 * GIB}",
        memory__usage_in_bytes=f"{GIB}",
        memory__stat=f"inactive_file 5\ntotal_inactive_file {GIB // 2}\n",
    )
    assert limits(tmp_path / "self", mount) == [Limit(4 * GIB, GIB // 2)]


def test_without_groups_there_are_no_limits(tmp_path: Path) -> None:
    assert limits(tmp_path / "missing", tmp_path) == []
    (tmp_path / "self").write_text("0::/../elsewhere\n")
    assert limits(tmp_path / "self", tmp_path) == []


@pytest.mark.parametrize(
    ("groups", "reading"),
    [
        ([], Reading("cpu", 32 * GIB, 12 * GIB)),
        ([Limit(1 << 62, 50 * GIB)], Reading("cpu", 32 * GIB, 12 * GIB)),  # how version 1 says that there is no limit
        ([Limit(8 * GIB, 3 * GIB)], Reading("cpu", 8 * GIB, 3 * GIB)),
        ([Limit(30 * GIB, GIB)], Reading("cpu", 30 * GIB, 10 * GIB)),  # the machine has less available than the group
        ([Limit(8 * GIB, GIB), Limit(16 * GIB, 15 * GIB)], Reading("cpu", 8 * GIB, 7 * GIB)),
        ([Limit(8 * GIB, 9 * GIB)], Reading("cpu", 8 * GIB, 8 * GIB)),
    ],
)
def test_the_tightest_limit_counts(groups: list[Limit], reading: Reading) -> None:
    assert Host(machine(32 * GIB, 20 * GIB), lambda: groups).reading() == reading


def test_the_real_host_has_memory_and_a_name() -> None:
    device = Host().device()
    assert (device.id, device.kind, device.bf16) == ("cpu", "cpu", False)
    assert device.name
    assert GIB // 4 < device.total <= psutil.virtual_memory().total


@contextmanager
def holding(size: int) -> Iterator[psutil.Process]:
    """A process that holds `size` bytes until the end of the block."""
    program = f"held = bytearray(b'x' * {size}); print('held', flush=True); input()"
    child = subprocess.Popen([sys.executable, "-c", program], stdin=subprocess.PIPE, stdout=subprocess.PIPE)
    assert child.stdin
    assert child.stdout
    try:
        assert child.stdout.readline() == b"held\n"
        yield psutil.Process(child.pid)
    finally:
        child.kill()
        child.communicate()


def test_a_process_is_measured_by_its_unique_set() -> None:
    host = Host()
    with holding(100 * MIB) as big, holding(MIB) as small:
        more = host.bytes_of([big]) - host.bytes_of([small])
        assert 95 * MIB < more < 105 * MIB
        assert host.bytes_of([big, small]) == host.bytes_of([big]) + host.bytes_of([small])
    assert host.bytes_of([big, small]) == 0


def process(rss: int, uss: Any) -> Any:
    """A process as psutil shows it. `uss`: a number, or the error that psutil raises."""

    def full() -> SimpleNamespace:
        calls.full += 1
        if isinstance(uss, psutil.Error):
            raise uss
        return SimpleNamespace(uss=uss)

    calls = SimpleNamespace(full=0)
    fake = SimpleNamespace(
        memory_info=lambda: SimpleNamespace(rss=fake.rss, shared=10 * MIB),
        memory_full_info=full,
        is_running=lambda: True,
        rss=rss,
        calls=calls,
    )
    return _Hashable(fake)


class _Hashable:
    def __init__(self, inner: SimpleNamespace) -> None:
        self.inner = inner

    def __getattr__(self, name: str) -> Any:
        return getattr(self.inner, name)


def test_the_unique_set_is_read_only_after_a_change() -> None:
    host, seen = Host(), process(rss=100 * MIB, uss=80 * MIB)
    assert [host.bytes_of([seen]) for _ in range(3)] == [80 * MIB] * 3
    assert seen.calls.full == 1
    seen.inner.rss += 1
    host.bytes_of([seen])
    assert seen.calls.full == 2


def test_an_unreadable_process_counts_resident_less_shared() -> None:
    assert Host().bytes_of([process(rss=100 * MIB, uss=psutil.AccessDenied())]) == 90 * MIB


def test_an_ended_process_holds_nothing() -> None:
    assert Host().bytes_of([process(rss=100 * MIB, uss=psutil.NoSuchProcess(1))]) == 0


def test_ended_processes_are_forgotten() -> None:
    host = Host()
    for _ in range(2000):
        ended = process(rss=MIB, uss=MIB)
        host.bytes_of([ended])
        ended.inner.is_running = lambda: False
    assert len(host._measured) <= 512
