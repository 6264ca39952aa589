"""A worker's processes are found, and nobody else's."""

from __future__ import annotations

import os
import subprocess
import sys
import uuid
from collections.abc import Iterator

import psutil
import pytest

from manager import process_tree
from tests.support.process_family import Family, gone


@pytest.fixture
def family() -> Iterator[Family]:
    with Family() as born:
        yield born


def pids(processes: list[psutil.Process]) -> set[int]:
    return {process.pid for process in processes}


def test_the_tree_holds_the_root_and_its_descendants(family: Family) -> None:
    assert pids(process_tree.tree(family.root, family.uuid)) == {family.root, family.child}
    assert pids(process_tree.tree(family.root, family.uuid, process_tree.families())) == {family.root, family.child}


def test_a_grandchild_that_left_the_tree_is_found_by_what_it_carries(family: Family) -> None:
    everyone = {family.root, family.child, family.escaped}
    assert pids(process_tree.escaped(family.uuid)) == everyone
    assert pids(process_tree.whole(family.root, family.uuid)) == everyone
    assert pids(process_tree.carriers()[family.uuid]) == everyone


def test_what_has_ended_is_not_found_though_nobody_has_asked_for_its_exit_code(family: Family) -> None:
    os.kill(family.root, 9)
    gone(family.root)
    assert process_tree.tree(family.root, family.uuid) == []
    assert family.root not in pids(process_tree.escaped(family.uuid))


def test_another_process_with_the_same_pid_is_not_the_worker(family: Family) -> None:
    assert process_tree.tree(family.root, uuid.uuid4().hex) == []
    assert process_tree.tree(os.getppid(), family.uuid) == []
    assert process_tree.escaped(uuid.uuid4().hex) == []


def test_our_own_child_that_overwrote_its_environment_is_still_the_root() -> None:
    """Programs that rename themselves may: what the kernel shows of their environment is then another text."""
    environ = {key: value for key, value in os.environ.items() if key != process_tree.MARK}
    with subprocess.Popen([sys.executable, "-c", "input()"], stdin=subprocess.PIPE, env=environ) as child:
        assert pids(process_tree.tree(child.pid, uuid.uuid4().hex)) == {child.pid}
        child.kill()


def test_a_pid_that_nobody_has_is_no_tree() -> None:
    with subprocess.Popen([sys.executable, "-c", ""]) as child:
        child.wait()
    assert process_tree.tree(child.pid, "x") == []
    assert process_tree.mark(child.pid) is None
