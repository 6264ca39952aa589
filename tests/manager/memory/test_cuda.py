"""How much each worker holds of a GPU, and whether it is freed, whatever the driver reports."""

from __future__ import annotations

from collections.abc import Callable

from hypothesis import given
from hypothesis import strategies as st

from manager.memory.cuda import TOLERANCE, Cuda, GpuWorker
from manager.memory.nvml import gpus
from tests.support.fake_nvml import GIB, MIB, FakeGpu, FakeNvml

GPU = "GPU-1"


def over(*fakes: FakeGpu, exists: Callable[[int], bool] = lambda pid: True) -> Cuda:
    return Cuda(gpus(FakeNvml(*fakes), None), exists)


def worker(uuid: str, *pids: int, on: tuple[str, ...] = (GPU,)) -> GpuWorker:
    return GpuWorker(uuid, frozenset(pids), on)


def test_a_workers_processes_add_up() -> None:
    gpu = FakeGpu(uuid=GPU, programs={10: 3 * GIB, 11: GIB, 99: 7 * GIB})
    shares = over(gpu).shares([worker("a", 9, 10, 11), worker("b", 12)])[GPU]
    assert shares.held == {"a": 4 * GIB, "b": 0}
    assert shares.shared == frozenset()


def test_a_worker_on_two_gpus_is_measured_on_both() -> None:
    first, second = FakeGpu(uuid=GPU, programs={10: GIB}), FakeGpu(uuid="GPU-2", programs={10: 2 * GIB})
    shares = over(first, second).shares([worker("a", 10, on=(GPU, "GPU-2"))])
    assert {device: share.held for device, share in shares.items()} == {GPU: {"a": GIB}, "GPU-2": {"a": 2 * GIB}}


def test_without_reports_the_gain_since_the_baseline_counts() -> None:
    gpu = FakeGpu(uuid=GPU, hidden=GIB, lists_bytes=False)
    cuda = over(gpu)
    gpu.programs = {10: 5 * GIB}
    assert cuda.shares([worker("a", 10)])[GPU].held == {"a": 5 * GIB}
    cuda.baseline([worker("a", 10)])
    gpu.programs |= {20: 2 * GIB}
    assert cuda.shares([worker("a", 10), worker("b", 20)])[GPU].held == {"a": 5 * GIB, "b": 2 * GIB}


def test_pids_of_another_namespace_explain_nothing() -> None:
    """In a container the driver may list a worker under its pid on the host, with its bytes."""
    gpu = FakeGpu(uuid=GPU)
    cuda = over(gpu, exists=lambda pid: pid < 1000)
    gpu.programs = {55_010: 5 * GIB}
    assert cuda.shares([worker("a", 10)])[GPU].held == {"a": 5 * GIB}


def test_two_unreported_starts_share_the_gain() -> None:
    gpu = FakeGpu(uuid=GPU, lists_processes=False)
    cuda = over(gpu)
    gpu.programs = {10: 3 * GIB, 20: 5 * GIB}
    shares = cuda.shares([worker("a", 10), worker("b", 20), worker("elsewhere", 30, on=("cpu",))])[GPU]
    assert shares.held == {"a": 4 * GIB, "b": 4 * GIB}
    assert shares.shared == {"a", "b"}


def test_another_programs_memory_is_no_gain() -> None:
    gpu = FakeGpu(uuid=GPU)
    cuda = over(gpu)
    gpu.programs, gpu.drawing = {10: GIB, 500: 20 * GIB}, {501: 300 * MIB}
    residents = [worker("a", 10), worker("b", 20)]
    assert cuda.shares(residents)[GPU].held == {"a": GIB, "b": 0}
    gpu.programs = {500: 30 * GIB}
    assert cuda.back("a", (GPU,))


def test_an_ended_process_that_is_still_listed_is_a_holder() -> None:
    gpu = FakeGpu(uuid=GPU, programs={10: GIB})
    cuda = over(gpu)
    cuda.shares([worker("a", 10)])
    cuda.shares([worker("a")])  # sampled after its end, before the driver noticed
    assert cuda.holders("a", (GPU,)) == {10}
    assert cuda.holders("a", ("GPU-2", "cpu")) == set()
    gpu.programs = {}
    assert cuda.holders("a", (GPU,)) == set()


def test_memory_without_a_listed_process_is_waited_for() -> None:
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


def test_an_ended_workers_part_leaves_the_baseline() -> None:
    gpu = FakeGpu(uuid=GPU, lists_processes=False)
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


def test_unreported_starts_do_not_delay_another_stop() -> None:
    gpu = FakeGpu(uuid=GPU, lists_processes=False, programs={10: 5 * GIB})
    cuda = over(gpu)
    gpu.programs = {20: 20 * GIB}
    cuda.shares([worker("a", 10), worker("b", 20)])
    assert cuda.back("a", (GPU,))
    assert not cuda.back("b", (GPU,))


def test_an_ended_worker_gets_no_share_of_a_gain() -> None:
    gpu = FakeGpu(uuid=GPU, lists_processes=False)
    cuda = over(gpu)
    gpu.programs = {20: 6 * GIB}
    shares = cuda.shares([worker("ended"), worker("b", 20)])[GPU]
    assert shares.held == {"b": 6 * GIB}
    assert shares.shared == frozenset()


def test_a_reporting_driver_is_waited_for_during_starts() -> None:
    gpu = FakeGpu(uuid=GPU)
    cuda = over(gpu)
    gpu.programs = {10: 4 * GIB}
    cuda.shares([worker("a", 10), worker("b", 20)])  # b holds nothing yet
    gpu.programs, gpu.ghosts = {}, {10: 4 * GIB}
    assert not cuda.back("a", (GPU,))


def test_other_devices_are_always_back() -> None:
    assert over().back("a", ("cpu",))


@given(
    st.lists(st.tuples(st.booleans(), st.integers(1, 8 * GIB)), max_size=12),
    st.sampled_from(["reports", "lists", "silent"]),
)
def test_every_figure_is_exact_for_starts_one_by_one(steps: list[tuple[bool, int]], driver: str) -> None:
    """Workers start (True) and stop one at a time, with a baseline in between, whatever the driver reports."""
    gpu = FakeGpu(
        uuid=GPU, total=1 << 40, hidden=GIB, lists_processes=driver != "silent", lists_bytes=driver == "reports"
    )
    cuda, living = over(gpu), dict[str, tuple[int, int]]()
    for number, (starts, size) in enumerate(steps):
        cuda.baseline([worker(uuid, pid) for uuid, (pid, _) in living.items()])
        if starts:
            living[f"w{number}"] = (number, size)
            gpu.programs[number] = size
        elif living:
            uuid, (pid, _) = next(iter(living.items()))
            del living[uuid], gpu.programs[pid]
            assert cuda.back(uuid, (GPU,))
        held = cuda.shares([worker(uuid, pid) for uuid, (pid, _) in living.items()])[GPU].held
        assert held == {uuid: size for uuid, (_, size) in living.items()}
