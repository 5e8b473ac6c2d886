"""Every loop against the plain Python reference, for random hierarchies and traces."""

from __future__ import annotations

from collections import Counter
from dataclasses import replace
from typing import Any

import numpy as np
import pytest
from examples import examples
from hypothesis import given, settings
from hypothesis import strategies as st
from reference_cache import Reference, RefLevel, replay_reference

from cgsim.trace_replay.geometry import Level
from cgsim.trace_replay.one_cpu import run_tlb
from cgsim.trace_replay.plan import COUNT_COLUMNS, Options, Plan
from cgsim.trace_replay.run import choose_loop, run

EXAMPLES = examples(120)
FAR = 0xFFFF_8880_0000_0000


def loop_counts(counts: Any) -> Counter[tuple[int | str, str]]:
    """The loops' counters in the reference's form."""
    found: Counter[tuple[int | str, str]] = Counter()
    for level, row in enumerate(counts.levels.tolist()):
        for name, value in zip(COUNT_COLUMNS, row, strict=True):
            found[level, name] = value
    for name in ("writebacks", "downgrades", "upgrades"):
        found["all", name] = getattr(counts, name)
    return found


@st.composite
def plans(draw: st.DrawFn, plain: bool = False) -> Plan:
    """A hierarchy; `plain`: private levels and one shared by all, nine."""
    cpus = draw(st.sampled_from([1, 1, 2, 3, 5, 8, 64, 65, 130]))
    number = draw(st.integers(1, 3 if plain else 5))
    unit = draw(st.sampled_from([1, 2, 3, 4, 8, 24, 64]))
    levels: list[Level] = []
    sharing = 1
    for n in range(number):
        sets = unit * draw(st.sampled_from([1, 2, 3, 4]))
        ways = draw(st.sampled_from([1, 2, 3, 7, 8, 9, 16, 20, 32, 33]))
        if plain:
            sharing = cpus if n == number - 1 and n > 0 else 1
        else:
            sharing *= draw(st.sampled_from([1, 1, 2, 3]))
        hashed = not plain and draw(st.booleans())
        levels.append(Level(f"L{n + 1}", sets, ways, min(sharing, cpus), hashed))
    policies = ["nine"] if plain else ["nine", "inclusive"] + ["victim"] * 2 * (number > 1)
    policy = draw(st.sampled_from(policies))
    traffic = not plain and cpus == 1 and policy == "nine" and draw(st.booleans())
    return Plan(tuple(levels), cpus, policy, traffic)


@st.composite
def traces(draw: st.DrawFn, cpus: int) -> tuple[Any, Any, Any]:
    """Addresses, CPUs, writes: a few hundred accesses to a few dozen lines, near or scattered."""
    rng = np.random.default_rng(draw(st.integers(0, 2**32)))
    count = draw(st.sampled_from([0, 1, 40, 400]))
    lines = rng.integers(0, draw(st.sampled_from([4, 30, 150])), count).astype(np.uint64)
    spread = draw(st.sampled_from(["dense", "kernel", "everywhere"]))
    if spread == "kernel":
        lines += np.where(lines % 2 == 0, np.uint64(FAR >> 6), np.uint64(5))
    elif spread == "everywhere":
        lines = lines * np.uint64(0x9E3779B97F4A7C15) >> np.uint64(6)
    address = lines * np.uint64(64) + rng.integers(0, 64, count).astype(np.uint64)
    cpu = rng.integers(0, min(cpus, draw(st.sampled_from([1, 3, 200]))), count).astype(np.uint16)
    write = (rng.random(count) < draw(st.sampled_from([0.0, 0.1, 0.6]))).astype(np.uint8)
    return address, cpu, write


def expected(plan: Plan, trace: tuple[Any, Any, Any]) -> Counter[tuple[int | str, str]]:
    address, cpu, write = (column.tolist() for column in trace)
    levels = [RefLevel(x.sets, x.ways, x.cpus_per_instance, x.hashed) for x in plan.levels]
    accesses = [(c, a // 64, bool(w)) for a, c, w in zip(address, cpu, write, strict=True)]
    return replay_reference(accesses, levels, plan.cpus, plan.policy, plan.traffic)


@settings(max_examples=EXAMPLES)
@given(st.data())
def test_general_loop(data: st.DataObject) -> None:
    """Random levels, sharing, inclusion and traffic; vectors and loops; any number of shards."""
    plan = data.draw(plans())
    trace = data.draw(traces(plan.cpus))
    options = Options(
        threads=data.draw(st.sampled_from([1, 2])),
        loop="general",
        vector=data.draw(st.booleans()),
        shards=data.draw(st.sampled_from([1, 8, None])),
    )
    assert loop_counts(run(*trace, plan, options)) == expected(plan, trace)


@settings(max_examples=EXAMPLES)
@given(st.data())
def test_coherent_loop(data: st.DataObject) -> None:
    """Private levels and a shared one; pieces that are shorter than the trace."""
    plan = data.draw(plans(plain=True))
    trace = data.draw(traces(plan.cpus))
    options = Options(
        threads=data.draw(st.sampled_from([1, 2, 5])),
        loop="coherent",
        vector=data.draw(st.booleans()),
        shards=data.draw(st.sampled_from([1, 8, None])),
        piece=data.draw(st.sampled_from([17, 1 << 20])),
        few_cpus=data.draw(st.sampled_from([1, None])),
    )
    assert loop_counts(run(*trace, plan, options)) == expected(plan, trace)


@settings(max_examples=EXAMPLES)
@given(st.data())
def test_traffic_loop(data: st.DataObject) -> None:
    """One CPU whose write-backs are accesses; sometimes more dirty lines than a block."""
    plan = replace(data.draw(plans()), cpus=1, policy="nine", traffic=True)
    plan = replace(plan, levels=tuple(replace(x, cpus_per_instance=1) for x in plan.levels))
    trace = data.draw(traces(1))
    options = Options(loop="traffic", vector=data.draw(st.booleans()))
    assert loop_counts(run(*trace, plan, options)) == expected(plan, trace)


def test_traffic_flush_of_many_lines() -> None:
    """More dirty lines at the end than a block, in rows without vectors."""
    levels = (Level("L1", 3, 700), Level("L2", 40, 150))
    plan = Plan(levels, 1, "nine", True)
    rng = np.random.default_rng(3)
    address = rng.integers(0, 9000, 9000).astype(np.uint64) * np.uint64(64)
    trace = address, np.zeros(9000, np.uint16), np.ones(9000, np.uint8)
    assert loop_counts(run(*trace, plan, Options(loop="traffic"))) == expected(plan, trace)


@settings(max_examples=EXAMPLES)
@given(st.data())
def test_reads_loop(data: st.DataObject) -> None:
    """Reads of one CPU through any levels."""
    plan = replace(data.draw(plans()), cpus=1, policy="nine", traffic=False)
    plan = replace(plan, levels=tuple(replace(x, cpus_per_instance=1) for x in plan.levels))
    address, cpu, write = data.draw(traces(1))
    trace = address, cpu, np.zeros_like(write)
    options = Options(loop="reads", vector=data.draw(st.booleans()))
    assert loop_counts(run(address, None, None, plan, options)) == expected(plan, trace)


@settings(max_examples=EXAMPLES // 2)
@given(st.data())
def test_tlb(data: st.DataObject) -> None:
    """A TLB is a hierarchy of private levels whose lines are pages."""
    ways = data.draw(st.sampled_from([1, 3, 4, 8]))
    levels = (Level("L1", data.draw(st.sampled_from([1, 2, 3])), ways), Level("L2", 4, 8))
    cpus = data.draw(st.sampled_from([1, 3]))
    address, cpu, _ = data.draw(traces(cpus))
    address = address * np.uint64(64)
    misses = run_tlb(address, None if cpus == 1 else cpu, levels, 12, Options(threads=2))
    plan = Plan(levels, cpus, "nine", False)
    found = expected(plan, (address // np.uint64(64), cpu, np.zeros(len(cpu), np.uint8)))
    assert misses.tolist() == [found[0, "misses"], found[1, "misses"]]


@pytest.mark.parametrize("scale", [1, 1 << 40])
def test_sets_without_a_common_window(scale: int) -> None:
    """Set counts whose least common multiple exceeds any window, and lines all over it."""
    sets = (4093, 4095, 16381, 16379, 8191)
    levels = tuple(Level(f"L{n}", s, 2) for n, s in enumerate(sets))
    rng = np.random.default_rng(1)
    near = np.concatenate([np.arange(9000), rng.integers(0, 30000, 3000)])
    address = (near.astype(np.uint64) * np.uint64(scale)) * np.uint64(64)
    write = (near % 5 == 0).astype(np.uint8)
    plan = Plan(levels, 1, "nine", True)
    cpu = np.zeros(len(address), np.uint16)
    assert loop_counts(run(address, None, write, plan, Options())) == expected(
        plan, (address, cpu, write)
    )
    quiet = np.zeros_like(write)
    silent = replace(plan, traffic=False)
    assert loop_counts(run(address, None, None, silent, Options())) == expected(
        silent, (address, cpu, quiet)
    )


def test_a_failing_thread_ends_the_others(monkeypatch: pytest.MonkeyPatch) -> None:
    """Its error is raised; nobody waits for it."""
    from cgsim.core.replay import partition as replay_partition

    def scatter(*arguments: Any) -> None:
        if arguments[4] > 0:
            raise MemoryError("second piece")

    monkeypatch.setattr(replay_partition, "scatter_near", scatter)
    plan = Plan((Level("L1", 8, 2), Level("L2", 8, 4, 2)), 2, "nine", False)
    address = np.arange(100, dtype=np.uint64)
    with pytest.raises(MemoryError, match="second piece"):
        run(address, None, np.ones(100, np.uint8), plan, Options(threads=3, piece=40))


def test_choice_of_loop() -> None:
    """The fast loops are taken where they apply, the general one elsewhere."""
    three = (Level("L1", 64, 8, 1), Level("L2", 1024, 8, 1), Level("L3", 16384, 16, 8))
    reads = Plan(tuple(replace(x, cpus_per_instance=1) for x in three), 1, "nine", True)
    assert choose_loop(reads, writes=False) == "reads"
    assert choose_loop(reads, writes=True) == "traffic"
    assert choose_loop(Plan(three, 8, "nine", False), writes=True) == "coherent"
    assert choose_loop(Plan(three, 16, "nine", False), writes=True) == "general"
    assert choose_loop(Plan(three, 8, "inclusive", False), writes=True) == "general"
    for cpus, loop in ((8, "coherent"), (64, "coherent"), (65, "general")):
        levels = (*three[:2], replace(three[2], cpus_per_instance=cpus))
        plan = Plan(levels, cpus, "nine", False)
        assert choose_loop(plan, writes=True) == "coherent"
        assert choose_loop(plan, writes=True, false_sharing=True) == loop


@settings(max_examples=EXAMPLES)
@given(st.data())
def test_false_sharing(data: st.DataObject) -> None:
    """Misses on lost lines and the falsely shared ones among them, by line and CPU; what else is
    counted stays as it is."""
    plan = data.draw(plans(plain=data.draw(st.booleans())))
    address, cpu, write = data.draw(traces(plan.cpus))
    rng = np.random.default_rng(data.draw(st.integers(0, 2**32)))
    two = rng.integers(0, data.draw(st.sampled_from([2, 8])), (2, len(address)))
    words = (1 << two[0] | 1 << two[1]).astype(np.uint8)
    levels = [RefLevel(x.sets, x.ways, x.cpus_per_instance, x.hashed) for x in plan.levels]
    reference = Reference(levels, plan.cpus, plan.policy, plan.traffic)
    for c, a, w, touched in zip(
        cpu.tolist(), address.tolist(), write.tolist(), words.tolist(), strict=True
    ):
        bits = [word for word in range(8) if touched >> word & 1]
        reference.access(c, a // 64, bool(w), bits)
    options = Options(
        threads=data.draw(st.sampled_from([1, 2])),
        vector=data.draw(st.booleans()),
        shards=data.draw(st.sampled_from([1, 8, None])),
        piece=data.draw(st.sampled_from([17, 1 << 20])),
    )
    counts = run(address, cpu, write, plan, options, words)
    assert loop_counts(counts) == expected(plan, (address, cpu, write))
    sharing = counts.sharing
    assert sharing is not None
    assert sharing.coherence_misses == reference.sharing["coherence_misses"]
    assert sharing.false_sharing == reference.sharing["false_sharing"]
    by_line: Counter[int] = Counter()
    for (line, _), count in reference.false.items():
        by_line[line] += count
    most = sorted((-count, line) for line, count in by_line.items() if count)[:10]
    assert sharing.lines == tuple(
        (line, tuple(sorted(c for at, c in reference.false if at == line)), -count)
        for count, line in most
    )
