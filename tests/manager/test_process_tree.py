"""A worker's processes are found, and no others."""

from __future__ import annotations

import os
import subprocess
import sys
import uuid
from collections.abc import Iterator

import psutil
import pytest

from manager import process_tree
from tests.support.process_family import ProcessFamily, wait_until_gone


@pytest.fixture
def family() -> Iterator[ProcessFamily]:
    with ProcessFamily() as processes:
        yield processes


def pids(processes: list[psutil.Process]) -> set[int]:
    return {process.pid for process in processes}


def test_a_tree_is_the_root_and_its_descendants(family: ProcessFamily) -> None:
    assert pids(process_tree.tree(family.root, family.uuid)) == {family.root, family.child}
    assert pids(process_tree.tree(family.root, family.uuid, process_tree.children_by_parent())) == {
        family.root,
        family.child,
    }


def test_an_escaped_grandchild_is_found_by_its_uuid(family: ProcessFamily) -> None:
    processes = {family.root, family.child, family.escaped}
    assert pids(process_tree.marked(family.uuid)) == processes
    assert pids(process_tree.find_all(family.root, family.uuid)) == processes
    assert pids(process_tree.marked_by_uuid()[family.uuid]) == processes


def test_zombies_are_not_found(family: ProcessFamily) -> None:
    os.kill(family.root, 9)
    wait_until_gone(family.root)
    assert process_tree.tree(family.root, family.uuid) == []
    assert family.root not in pids(process_tree.marked(family.uuid))


def test_another_process_with_a_reused_pid_is_not_found(family: ProcessFamily) -> None:
    assert process_tree.tree(family.root, uuid.uuid4().hex) == []
    assert process_tree.tree(os.getppid(), family.uuid) == []
    assert process_tree.marked(uuid.uuid4().hex) == []


def test_a_child_that_overwrote_its_environment_is_found() -> None:
    """Programs that rename themselves may write over the memory from which the kernel shows their environment."""
    environ = {key: value for key, value in os.environ.items() if key != process_tree.MARK}
    with subprocess.Popen([sys.executable, "-c", "input()"], stdin=subprocess.PIPE, env=environ) as child:
        assert pids(process_tree.tree(child.pid, uuid.uuid4().hex)) == {child.pid}
        child.kill()


def test_an_unused_pid_has_no_tree() -> None:
    with subprocess.Popen([sys.executable, "-c", ""]) as child:
        child.wait()
    assert process_tree.tree(child.pid, "x") == []
    assert process_tree.uuid_of(child.pid) is None
