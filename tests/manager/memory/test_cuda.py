"""Who holds what of a GPU, and whether it came back, whatever the driver tells."""

from __future__ import annotations

from collections.abc import Callable

from hypothesis import given
from hypothesis import strategies as st

from manager.memory.cuda import TOLERANCE, Cuda, Resident
from manager.memory.nvml import gpus
from tests.support.fake_nvml import GIB, MIB, FakeGpu, FakeNvml

GPU = "GPU-1"


def over(*fakes: FakeGpu, exists: Callable[[int], bool] = lambda pid: True) -> Cuda:
    return Cuda(gpus(FakeNvml(*fakes), None), exists)


def worker(uuid: str, *pids: int, on: tuple[str, ...] = (GPU,)) -> Resident:
    return Resident(uuid, frozenset(pids), on)


def test_a_worker_holds_what_the_driver_tells_of_its_whole_tree() -> None:
    gpu = FakeGpu(uuid=GPU, programs={10: 3 * GIB, 11: GIB, 99: 7 * GIB})
    shares = over(gpu).shares([worker("a", 9, 10, 11), worker("b", 12)])[GPU]
    assert shares.held == {"a": 4 * GIB, "b": 0}
    assert shares.shared == frozenset()


def test_a_worker_on_two_gpus_is_measured_on_both() -> None:
    first, second = FakeGpu(uuid=GPU, programs={10: GIB}), FakeGpu(uuid="GPU-2", programs={10: 2 * GIB})
    shares = over(first, second).shares([worker("a", 10, on=(GPU, "GPU-2"))])
    assert {device: share.held for device, share in shares.items()} == {GPU: {"a": GIB}, "GPU-2": {"a": 2 * GIB}}


def test_a_silent_driver_leaves_the_change_since_the_baseline() -> None:
    gpu = FakeGpu(uuid=GPU, hidden=GIB, tells_bytes=False)
    cuda = over(gpu)
    gpu.programs = {10: 5 * GIB}
    assert cuda.shares([worker("a", 10)])[GPU].held == {"a": 5 * GIB}
    cuda.baseline([worker("a", 10)])
    gpu.programs |= {20: 2 * GIB}
    assert cuda.shares([worker("a", 10), worker("b", 20)])[GPU].held == {"a": 5 * GIB, "b": 2 * GIB}


def test_pids_of_another_namespace_explain_nothing() -> None:
    """In a container the driver may list our worker's pid as the host knows it, with its bytes."""
    gpu = FakeGpu(uuid=GPU)
    cuda = over(gpu, exists=lambda pid: pid < 1000)
    gpu.programs = {55_010: 5 * GIB}
    assert cuda.shares([worker("a", 10)])[GPU].held == {"a": 5 * GIB}


def test_two_unseen_starts_share_what_was_gained_and_neither_is_learned_from() -> None:
    gpu = FakeGpu(uuid=GPU, lists=False)
    cuda = over(gpu)
    gpu.programs = {10: 3 * GIB, 20: 5 * GIB}
    shares = cuda.shares([worker("a", 10), worker("b", 20), worker("elsewhere", 30, on=("cpu",))])[GPU]
    assert shares.held == {"a": 4 * GIB, "b": 4 * GIB}
    assert shares.shared == {"a", "b"}


def test_a_foreign_program_that_the_driver_tells_of_is_nobodys_gain() -> None:
    gpu = FakeGpu(uuid=GPU)
    cuda = over(gpu)
    gpu.programs, gpu.drawing = {10: GIB, 500: 20 * GIB}, {501: 300 * MIB}
    residents = [worker("a", 10), worker("b", 20)]
    assert cuda.shares(residents)[GPU].held == {"a": GIB, "b": 0}
    gpu.programs = {500: 30 * GIB}
    assert cuda.back("a", (GPU,))


def test_a_pid_that_the_driver_still_lists_holds_memory_though_the_process_is_gone() -> None:
    gpu = FakeGpu(uuid=GPU, programs={10: GIB})
    cuda = over(gpu)
    cuda.shares([worker("a", 10)])
    cuda.shares([worker("a")])  # ended, and seen once more before the driver noticed
    assert cuda.holds("a", (GPU,)) == {10}
    assert cuda.holds("a", ("GPU-2", "cpu")) == set()
    gpu.programs = {}
    assert cuda.holds("a", (GPU,)) == set()


def test_memory_that_nobody_is_listed_for_is_not_back_until_it_is() -> None:
    gpu = FakeGpu(uuid=GPU)
    cuda = over(gpu)
    gpu.programs = {10: 4 * GIB}
    cuda.shares([worker("a", 10)])
    gpu.programs, gpu.ghosts = {}, {10: 4 * GIB}
    assert not cuda.back("a", (GPU,))
    gpu.ghosts = {10: TOLERANCE + 1}
    assert not cuda.back("a", (GPU,))
    gpu.ghosts = {10: TOLERANCE}
    assert cuda.back("a", (GPU,))


def test_a_settled_worker_that_the_driver_does_not_list_takes_its_part_of_the_baseline_along() -> None:
    gpu = FakeGpu(uuid=GPU, lists=False)
    cuda = over(gpu)
    for uuid, pid, size in (("a", 10, 5 * GIB), ("b", 20, 3 * GIB)):
        gpu.programs[pid] = size
        cuda.baseline([worker("a", 10), *([worker("b", 20)] if uuid == "b" else [])])
    assert not cuda.back("a", (GPU,))
    del gpu.programs[10]
    assert cuda.back("a", (GPU,))
    assert cuda.shares([worker("b", 20)])[GPU].held == {"b": 3 * GIB}
    gpu.programs[30] = GIB
    assert cuda.shares([worker("b", 20), worker("c", 30)])[GPU].held == {"b": 3 * GIB, "c": GIB}


def test_while_an_unseen_worker_starts_the_level_of_its_gpu_is_not_waited_for() -> None:
    gpu = FakeGpu(uuid=GPU, lists=False, programs={10: 5 * GIB})
    cuda = over(gpu)
    gpu.programs = {20: 20 * GIB}
    cuda.shares([worker("a", 10), worker("b", 20)])
    assert cuda.back("a", (GPU,))
    assert not cuda.back("b", (GPU,))


def test_a_worker_that_has_ended_takes_no_share_of_what_a_start_gains() -> None:
    gpu = FakeGpu(uuid=GPU, lists=False)
    cuda = over(gpu)
    gpu.programs = {20: 6 * GIB}
    shares = cuda.shares([worker("ended"), worker("b", 20)])[GPU]
    assert shares.held == {"b": 6 * GIB}
    assert shares.shared == frozenset()


def test_a_driver_that_tells_bytes_is_waited_for_though_others_start() -> None:
    gpu = FakeGpu(uuid=GPU)
    cuda = over(gpu)
    gpu.programs = {10: 4 * GIB}
    cuda.shares([worker("a", 10), worker("b", 20)])  # b has taken nothing yet
    gpu.programs, gpu.ghosts = {}, {10: 4 * GIB}
    assert not cuda.back("a", (GPU,))


def test_devices_that_are_no_gpus_are_always_back() -> None:
    assert over().back("a", ("cpu",))


@given(
    st.lists(st.tuples(st.booleans(), st.integers(1, 8 * GIB)), max_size=12),
    st.sampled_from(["tells", "silent", "unlisted"]),
)
def test_every_figure_is_right_when_starts_come_one_by_one(steps: list[tuple[bool, int]], mood: str) -> None:
    """Whatever the driver tells: workers come (True) and go, others stay, with a baseline whenever nothing moves."""
    gpu = FakeGpu(uuid=GPU, total=1 << 40, hidden=GIB, lists=mood != "unlisted", tells_bytes=mood == "tells")
    cuda, living = over(gpu), dict[str, tuple[int, int]]()
    for number, (comes, size) in enumerate(steps):
        cuda.baseline([worker(uuid, pid) for uuid, (pid, _) in living.items()])
        if comes:
            living[f"w{number}"] = (number, size)
            gpu.programs[number] = size
        elif living:
            uuid, (pid, _) = next(iter(living.items()))
            del living[uuid], gpu.programs[pid]
            assert cuda.back(uuid, (GPU,))
        held = cuda.shares([worker(uuid, pid) for uuid, (pid, _) in living.items()])[GPU].held
        assert held == {uuid: size for uuid, (_, size) in living.items()}
