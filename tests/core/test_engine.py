"""The engine against plain Python: allocator, primitives, traces, window, caches, coherence."""

from __future__ import annotations

import itertools
from typing import Any

import numpy as np
import pytest
from examples import examples
from hypothesis import given, settings
from hypothesis import strategies as st

from cgsim.compile.jit import njit
from cgsim.core import block_fields, traced
from cgsim.core.heap import (
    Heap,
    allocate,
    grace_period,
    kmalloc_bytes,
    prefill,
    release,
    retire,
    slab_order,
)
from cgsim.core.host_memory import address_of
from cgsim.core.space import (
    Native,
    Timed,
    Traced,
    add_in_place,
    atomic_add,
    branch,
    compare_exchange,
    compute,
    fence,
    join,
    load,
    now,
    pause,
    peek,
    poke,
    store,
    work,
)
from cgsim.core.system import CLUSTER, PRIVATE, LevelSpec, System
from cgsim.machines import load_machine
from cgsim.machines.system_spec import system_spec

MEMORY_BYTES = 1 << 26
LINE = 64
TICKS = block_fields.TICKS

# --- allocator ---


@njit
def churn(space, cache, actions, out):
    """Allocate where actions[i] < 0, else release what action actions[i] gave; int64[n] out."""
    for i in range(actions.size):
        if actions[i] < 0:
            out[i] = allocate(space, cache, 0)[0]
        else:
            release(space, cache, out[actions[i]], 0)


@njit
def retire_all(space, cache, objects):
    """kfree_rcu for int64[n]."""
    for i in range(objects.size):
        retire(space, cache, objects[i], 0)


@njit
def after_grace(space, cache):
    """Objects freed by a grace period."""
    return grace_period(space, cache)


@njit
def age(space, cache, objects):
    """See `prefill`."""
    return prefill(space, cache, objects, 5)


def native(heap: Heap) -> Native:
    """The native reading of a heap."""
    return Native(heap.mem, heap.block)


def take(heap: Heap, cache: int, count: int) -> list[int]:
    """Addresses of `count` new objects."""
    out = np.zeros(count, dtype=np.int64)
    churn(native(heap), cache, np.full(count, -1), out)
    return out.tolist()


@pytest.mark.parametrize(
    ("size", "expected"), [(1, 8), (8, 8), (65, 96), (193, 256), (2304, 4096), (9000, 16384)]
)
def test_kmalloc_classes(size: int, expected: int) -> None:
    assert kmalloc_bytes(size) == expected


@pytest.mark.parametrize(
    ("stride", "cpus", "order"),
    # /sys/kernel/slab of machines with so many CPUs: kmalloc-64, -192, -1k, -4k, radix_tree_node
    [(64, 8, 0), (192, 8, 0), (1024, 8, 3), (1024, 64, 3), (4096, 64, 3), (576, 8, 2)],
)
def test_slab_orders_are_slubs(stride: int, cpus: int, order: int) -> None:
    assert slab_order(stride, cpus) == order


def test_objects_do_not_overlap_and_resolve() -> None:
    heap = Heap(MEMORY_BYTES, seed=1)
    small = heap.add_cache("small", 40)
    large = heap.add_cache("large", 576, stride_bytes=576, slab_bytes=16384)
    spans = []
    for cache, size in ((small, 40), (large, 576)):
        objects = take(heap, cache, 150)
        facts = heap.caches[cache]
        for address in objects:
            number, _, slab, offset = heap.resolve(address + size - 1)
            assert (number, offset) == (cache, size - 1)
            assert (address - slab) % facts.stride_bytes == 0
            assert address + facts.stride_bytes <= slab + facts.slab_bytes
            spans.append((address, address + facts.stride_bytes))
        assert heap.live(cache) == 150
        assert heap.slabs(cache) == -(-150 // facts.objects_per_slab)
    spans.sort()
    assert all(end <= start for (_, end), (start, _) in itertools.pairwise(spans))
    with pytest.raises(KeyError, match="no object"):
        heap.resolve(8)


def test_freelist_is_random_inside_a_slab_and_lifo() -> None:
    orders = []
    for seed in (1, 1, 2):
        heap = Heap(MEMORY_BYTES, seed=seed)
        cache = heap.add_cache("x", 64)
        orders.append(take(heap, cache, 64))
    assert orders[0] == orders[1] != orders[2]
    assert sorted(orders[0]) == sorted(orders[2])
    assert orders[0] != sorted(orders[0])
    last = orders[2][-1]
    out = np.array([last, 0, 0], dtype=np.int64)
    churn(native(heap), cache, np.array([-1, 0, -1]), out)
    assert out[2] == out[0]


def test_new_objects_are_zero() -> None:
    heap = Heap(MEMORY_BYTES, seed=1)
    cache = heap.add_cache("x", 96)
    first = take(heap, cache, 1)[0]
    for word in range(12):
        heap.write(first + 8 * word, -1)
    out = np.array([0, 0], dtype=np.int64)
    out[0] = first
    churn(native(heap), cache, np.array([0, -1]), np.array([first, 0]))
    again = [heap.read(first + 8 * word) for word in range(12)]
    assert again == [0] * 12


def test_retired_objects_come_back_after_the_grace_period() -> None:
    heap = Heap(MEMORY_BYTES, seed=1)
    cache = heap.add_cache("x", 64)
    objects = take(heap, cache, 5)
    retire_all(native(heap), cache, np.array(objects[:3]))
    assert heap.live(cache) == 5
    assert heap.pending_bytes == 3 * 64
    assert not set(take(heap, cache, 10)) & set(objects)
    assert after_grace(native(heap), cache) == 3
    assert heap.pending_bytes == 0
    assert heap.live(cache) == 12
    assert set(take(heap, cache, 3)) == set(objects[:3])


def test_an_aged_cache_scatters() -> None:
    heap = Heap(MEMORY_BYTES, seed=1)
    cache = heap.add_cache("x", 64)
    assert age(native(heap), cache, 1000)
    pages = [address >> 12 for address in take(heap, cache, 100)]
    assert len(set(pages)) > 10
    assert heap.slabs(cache) == -(-1000 // heap.caches[cache].objects_per_slab)


def test_exhausted_memory_is_told() -> None:
    heap = Heap(4 << 20, seed=1)
    cache = heap.add_cache("x", 4096)
    objects = take(heap, cache, 2000)
    assert 0 in objects
    assert heap.live(cache) == 2000 - objects.count(0)
    with pytest.raises(MemoryError):
        heap.place("large", 4 << 20)


# --- programs for any reading ---

(LOAD, STORE, ADD, ATOMIC, EXCHANGE, WORK, BRANCH, FENCE, COMPUTE) = range(9)


@njit
def run(space, program, values):
    """Run int64[n, 4] rows (operation, address, argument, dependent).

    A dependent row waits for the one before it. Row i's value goes to values[i], its token to the
    next one. Returns the last token.
    """
    token = 0
    for i in range(program.shape[0]):
        what, address, argument, dependent = program[i]
        before = token if dependent != 0 else 0
        token = 0
        if what == LOAD:
            values[i], token = load(space, address, 8, before)
        elif what == STORE:
            store(space, address, 8, argument, 0, before)
            token = before
        elif what == ADD:
            values[i], token = add_in_place(space, address, 8, argument, before)
        elif what == ATOMIC:
            values[i], token = atomic_add(space, address, 8, argument, before)
        elif what == EXCHANGE:
            values[i], token = compare_exchange(space, address, 8, 0, argument, before)
        elif what == WORK:
            work(space, argument, 0)
            token = before
        elif what == BRANCH:
            branch(space, address, argument != 0, before)
            token = before
        elif what == FENCE:
            fence(space)
        else:
            token = compute(space, before, argument, 0, 0)
    return token


@njit
def widths(space, address, out):
    """Write -1 with each size, read it back with that size and with 8 bytes."""
    for i, size in enumerate((1, 2, 4, 8)):
        poke(space, address, 8, 0)
        store(space, address, size, -1, 0, 0)
        out[i, 0] = load(space, address, size, 0)[0]
        out[i, 1] = peek(space, address, 8)


@njit
def joined(space, address):
    """A load that depends on two loads, one of which depends on a third."""
    _, first = load(space, address, 8, 0)
    _, second = load(space, address + 8, 8, first)
    _, third = load(space, address + 16, 8, 0)
    both = join(space, join(space, second, third), join(space, third, 0))
    store(space, address + 24, 4, 1, both, first)
    work(space, 5, 2)
    branch(space, 7, True, second)
    add_in_place(space, address, 8, 1, 0)
    atomic_add(space, address, 8, 1, both)


class Bench:
    """A small machine on a heap with one object of some pages."""

    def __init__(self, **changes: Any) -> None:
        self.heap = Heap(MEMORY_BYTES, seed=1)
        self.base = self.heap.place("object", 1 << 20)
        spec = system_spec(load_machine("zen5-vm"), changes.pop("cpus", 1))
        self.system = System(spec._replace(tlb=None, **changes), self.heap)
        self.space = Timed(self.heap.mem, self.heap.block, self.system.cpu())

    def run(self, rows: list[tuple[int, int, int, int]]) -> float:
        """Cycles that a program of rows with addresses relative to the object takes."""
        program = np.array(rows, dtype=np.int64).reshape(-1, 4)
        program[:, 1] += self.base * (program[:, 0] < WORK)
        begin = int(self.system.field(block_fields.C_RETIRE))
        run(self.space, program, np.zeros(len(program), dtype=np.int64))
        return (int(self.system.field(block_fields.C_RETIRE)) - begin) / TICKS


def test_widths_truncate_and_extend_with_zeros() -> None:
    heap = Heap(MEMORY_BYTES, seed=1)
    address = heap.place("object", 64)
    out = np.zeros((4, 2), dtype=np.int64)
    widths(native(heap), address, out)
    expected = [0xFF, 0xFFFF, 0xFFFFFFFF, -1]
    assert out.tolist() == [[value, value] for value in expected]


def test_read_modify_writes_return_what_they_say() -> None:
    heap = Heap(MEMORY_BYTES, seed=1)
    address = heap.place("object", 64)
    rows = [(ADD, 5), (ATOMIC, 3), (EXCHANGE, 9), (STORE, 0), (EXCHANGE, 9), (LOAD, 0)]
    program = np.array([(what, address, argument, 0) for what, argument in rows])
    values = np.zeros(len(rows), dtype=np.int64)
    run(native(heap), program, values)
    # the new value; the old value; no exchange as 8 != 0; then an exchange
    assert values.tolist() == [5, 5, 8, 0, 0, 9]


def test_trace_records_accesses_and_their_dependences() -> None:
    heap = Heap(MEMORY_BYTES, seed=1)
    address = heap.place("object", 64)
    log = traced.new_log(32)
    joined(Traced(heap.mem, heap.block, address_of(log)), address)
    record = traced.parse(log)
    assert [(a.operation, a.address - address, a.size, a.deps) for a in record.accesses] == [
        ("R", 0, 8, ()),
        ("R", 8, 8, (0,)),
        ("R", 16, 8, ()),
        ("W", 24, 4, (1, 2)),
        ("RMW", 0, 8, ()),
        ("RMW!", 0, 8, (1, 2)),
    ]
    assert (record.instructions, record.branches) == (6 + 5 + 1, 3)
    traced.clear(log)
    assert traced.parse(log).accesses == ()
    full = traced.new_log(4)
    joined(Traced(heap.mem, heap.block, address_of(full)), address)
    with pytest.raises(ValueError, match="more than 4"):
        traced.parse(full)


# --- the window ---

ROWS = st.lists(
    st.tuples(
        st.sampled_from([LOAD, LOAD, LOAD, STORE, ADD, ATOMIC, WORK, BRANCH, FENCE, COMPUTE]),
        st.integers(0, 40).map(lambda i: 8 * i * i),
        st.integers(0, 6),
        st.booleans(),
    ),
    min_size=1,
    max_size=120,
)


@settings(max_examples=examples(60))
@given(rows=ROWS)
def test_causes_add_up_to_the_clock(rows: list[tuple[int, int, int, int]]) -> None:
    bench = Bench()
    for _ in range(2):
        bench.run(rows)
        causes = bench.system.causes()
        assert causes.sum() == bench.system.field(block_fields.C_RETIRE)
        assert (causes >= 0).all()
    straight = sum(argument if what == WORK else what != COMPUTE for what, _, argument, _ in rows)
    assert bench.system.counters()["instructions"] == 2 * straight


@settings(max_examples=examples(60))
@given(rows=ROWS)
def test_dependent_costs_no_less(rows: list[tuple[int, int, int, int]]) -> None:
    kept = [row for row in rows if row[0] in (LOAD, COMPUTE, WORK)]
    chained, free = Bench(), Bench()
    dependent = chained.run([(*row[:3], 1) for row in kept])
    independent = free.run([(*row[:3], 0) for row in kept])
    assert dependent >= independent - 1e-9


@settings(max_examples=examples(40))
@given(rows=ROWS, which=st.integers(0, 4))
def test_cost_grows_with_latencies(rows: list[tuple[int, int, int, int]], which: int) -> None:
    rows = [row for row in rows if row[0] not in (FENCE, BRANCH)]
    if which == 0:
        # what a locked operation takes in L1 is part of its own latency
        rows = [row for row in rows if row[0] != ATOMIC]
    plain = Bench()
    spec = plain.system.spec
    if which < 3:
        levels = list(spec.levels)
        levels[which] = levels[which]._replace(latency_cycles=levels[which].latency_cycles * 2)
        slower = Bench(levels=tuple(levels))
    elif which == 3:
        slower = Bench(memory_cycles=((2000.0,),))
    else:
        slower = Bench(locked_cycles=50.0)
    for _ in range(2):
        assert slower.run(rows) >= plain.run(rows) - 1e-9


def _warm_loads(count: int, gap: int, dependent: int, **changes: Any) -> float:
    """Cycles of `count` loads that miss everything, `gap` instructions apart, each of another place
    of its page."""
    bench = Bench(fill_entries=1000, memory_interval_cycles=0.0, **changes)
    rows = []
    for i in range(count):
        rows += [(LOAD, (4096 + 64) * (i + 1), 0, dependent), (WORK, 0, gap, dependent)]
    return bench.run(rows)


def test_independent_misses_overlap_as_far_as_the_reorder_buffer() -> None:
    memory = Bench().system.spec.memory_cycles[0][0]
    assert _warm_loads(100, 0, 1) == pytest.approx(100 * memory, rel=0.01)
    for rob in (64, 256):
        for gap in (15, 31):
            together = rob // (gap + 1)
            cycles = _warm_loads(96, gap, 0, rob_entries=rob)
            rounds = 96 / together
            assert cycles == pytest.approx(rounds * memory, rel=0.35), (rob, gap)
    # all fit
    assert _warm_loads(8, 0, 0, rob_entries=448) < 1.2 * memory


def _chains_in_l1(compares: int, **changes: Any) -> float:
    """Cycles per chain of 16 dependent loads that hit L1, each followed by branches on its value.

    Before each chain stands a call: it does not depend on the chain before.
    """
    bench = Bench(**changes)
    chain = [(LOAD, 0, 0, 1), *[(BRANCH, 7 + i, 0, 1) for i in range(compares)]] * 16
    bench.run([(LOAD, 0, 0, 0), *chain[1:]])
    rows = []
    for _ in range(40):
        rows += [(LOAD, 0, 0, 0), *chain[1:], (WORK, 0, 20, 0)]
    return bench.run(rows) / 40


def test_a_full_scheduler_ends_the_overlap_of_chains_that_hit() -> None:
    latency = Bench().system.spec.levels[0].latency_cycles
    free = _chains_in_l1(3, alu_entries=0, agu_entries=0, rob_entries=1 << 14)
    loose = _chains_in_l1(3, alu_entries=88, agu_entries=56, rob_entries=1 << 14)
    tight = _chains_in_l1(3, alu_entries=24, agu_entries=56, rob_entries=1 << 14)
    assert free < 0.6 * loose < 0.6 * tight
    # with as few entries as one operation a turn needs, nothing overlaps
    alone = _chains_in_l1(3, alu_entries=4, agu_entries=4)
    assert alone > 0.95 * 16 * latency
    # instructions that wait for nothing leave the schedulers at once
    idle = [(WORK, 0, 8, 0)] * 100
    bound = Bench().run(idle)
    assert Bench(alu_entries=0, agu_entries=0).run(idle) == pytest.approx(bound, rel=0.02)


def test_line_fill_buffers_bound_the_overlap() -> None:
    memory = Bench().system.spec.memory_cycles[0][0]
    rows = [(LOAD, (4096 + 64) * (i + 1), 0, 0) for i in range(80)]
    for entries in (4, 16):
        cycles = Bench(fill_entries=entries, memory_interval_cycles=0.0).run(rows)
        assert cycles == pytest.approx(80 / entries * memory, rel=0.1)


def test_random_branches_are_mispredicted_and_regular_ones_learned() -> None:
    random = np.random.default_rng(3)
    penalties = {}
    for name, outcomes in (
        ("random", random.integers(0, 2, 4000)),
        ("always", np.ones(4000, dtype=int)),
        ("period 5", np.arange(4000) % 5 == 0),
    ):
        bench = Bench()
        rows = [(BRANCH, 77, int(taken), 0) for taken in outcomes]
        bench.run(rows[:2000])
        before = bench.system.counters()["mispredicts"]
        cycles = bench.run(rows[2000:])
        penalties[name] = (bench.system.counters()["mispredicts"] - before, cycles)
    assert 800 < penalties["random"][0] < 1200
    assert penalties["always"][0] <= 2
    assert penalties["period 5"][0] < 100
    per_miss = penalties["random"][1] / penalties["random"][0]
    assert per_miss == pytest.approx(bench.system.spec.mispredict_cycles, rel=0.15)


def test_a_mispredict_waits_for_the_branch_condition() -> None:
    """The right path starts when the value the branch hangs on is there."""
    bench = Bench()
    memory = bench.system.spec.memory_cycles[0][0]
    penalty = bench.system.spec.mispredict_cycles
    taken = [(LOAD, 4096, 0, 0), (BRANCH, 5, 1, 1), (LOAD, 8192, 0, 1)]
    assert Bench().run(taken) > 1.9 * memory
    assert Bench().run([*taken[:2], (WORK, 0, 1, 0)]) > memory + penalty


def test_the_wrong_path_fetches_for_the_right_one_what_both_need() -> None:
    memory = Bench().system.spec.memory_cycles[0][0]
    mispredicted = [(LOAD, 4096, 0, 0), (BRANCH, 5, 1, 1)]
    rightly = [(LOAD, 4096, 0, 0), (BRANCH, 5, 0, 1), (LOAD, 8192, 0, 0)]
    assert Bench().run(rightly) < 1.3 * memory
    # an address that does not hang on what the branch waits for
    assert Bench().run([*mispredicted, (LOAD, 8192, 0, 0)]) < 1.3 * memory
    # one that does, a fence, or code that the wrong path does not reach
    assert Bench().run([*mispredicted, (LOAD, 8192, 0, 1)]) > 1.9 * memory
    assert Bench().run([*mispredicted, (FENCE, 0, 0, 0), (LOAD, 8192, 0, 0)]) > 1.9 * memory
    assert Bench().run([*mispredicted, (WORK, 0, 300, 0), (LOAD, 8192, 0, 0)]) > 1.9 * memory


def test_stores_forward_to_loads() -> None:
    bench = Bench()
    spec = bench.system.spec
    bench.run([(LOAD, 0, 0, 0)])
    turns = 50
    # additions to one word at a computed address: each waits for the one before to be stored
    cycles = bench.run([(LOAD, 0, 0, 0), *[(ADD, 0, 1, 1)] * turns])
    assert cycles / turns == pytest.approx(spec.forward_cycles + spec.alu_cycles, rel=0.1)
    # to words of their own they need not
    words = [(ADD, 8 * (i % 50), 1, 0) for i in range(turns)]
    assert bench.run(words) < cycles / 1.5


def test_locked_operations_serialise() -> None:
    bench = Bench()
    locked = bench.system.spec.locked_cycles
    lines = [(ATOMIC, LINE * (i % 8), 1, 0) for i in range(80)]
    bench.run(lines)
    assert bench.run(lines) == pytest.approx(80 * locked, rel=0.1)
    memory = bench.system.spec.memory_cycles[0][0]
    # what follows one is dispatched and loaded while it locks
    chain = [row for i in range(40) for row in ((ATOMIC, LINE * (i % 8), 1, 1), (LOAD, 0, 0, 0))]
    assert bench.run(chain) == pytest.approx(40 * locked, rel=0.05)
    # misses on both sides of a locked operation do not overlap
    apart = Bench().run([(LOAD, 4096, 0, 0), (ATOMIC, 0, 1, 0), (LOAD, 8192, 0, 0)])
    together = Bench().run([(LOAD, 4096, 0, 0), (LOAD, 8192, 0, 0)])
    assert apart > 1.9 * memory > together


def test_a_fence_ends_overlap() -> None:
    memory = Bench().system.spec.memory_cycles[0][0]
    rows = [(LOAD, 4096, 0, 0), (FENCE, 0, 0, 0), (LOAD, 8192, 0, 0)]
    assert Bench().run(rows) > 2 * memory


# --- caches against lists ---


class Lists:
    """Two private levels and a last one as recency lists; counts the misses of each level."""

    def __init__(self, sets: list[int], ways: list[int], inclusion: int) -> None:
        self.sets, self.ways, self.inclusion = sets, ways, inclusion
        self.rows: list[dict[int, list[list[int]]]] = [{}, {}, {}]
        self.misses = [0, 0, 0]

    def row(self, level: int, line: int) -> list[list[int]]:
        """The set of a line: [line, dirty] entries, most recent first."""
        return self.rows[level].setdefault(line % self.sets[level], [])

    def pull(self, level: int, line: int) -> list[int] | None:
        """Take a line's entry out of a level."""
        row = self.row(level, line)
        for entry in row:
            if entry[0] == line:
                row.remove(entry)
                return entry
        return None

    def push(self, level: int, entry: list[int]) -> list[int] | None:
        """Put an entry in front; returns what falls out."""
        row = self.row(level, entry[0])
        row.insert(0, entry)
        return row.pop() if len(row) > self.ways[level] else None

    def fill_last(self, entry: list[int]) -> None:
        """A line enters the last level."""
        victim = self.push(2, entry)
        if victim is not None and self.inclusion == block_fields.INCLUSIVE:
            self.pull(0, victim[0])
            self.pull(1, victim[0])

    def evict(self, level: int, entry: list[int]) -> None:
        """An entry fell out of level - 1."""
        if not entry[1] and not (level == 2 and self.inclusion == block_fields.VICTIM):
            return
        present = self.pull(level, entry[0])
        if present is not None:
            self.push(level, [entry[0], present[1] or entry[1]])
        elif level == 2:
            self.fill_last(entry)
        else:
            victim = self.push(level, entry)
            if victim is not None:
                self.evict(level + 1, victim)

    def access(self, line: int, writes: bool) -> None:
        """One access."""
        entry = self.pull(0, line)
        if entry is None:
            self.misses[0] += 1
            entry = self.fetch(line)
            victim = self.push(0, entry)
            if victim is not None:
                self.evict(1, victim)
        else:
            self.push(0, entry)
        entry[1] = int(entry[1] or writes)

    def fetch(self, line: int) -> list[int]:
        """Bring a line that L1 lacks to it."""
        entry = self.pull(1, line)
        if entry is not None:
            self.push(1, [line, 0])
            return [line, entry[1]]
        self.misses[1] += 1
        dirty = 0
        entry = self.pull(2, line)
        if entry is None:
            self.misses[2] += 1
            if self.inclusion != block_fields.VICTIM:
                self.fill_last([line, 0])
        elif self.inclusion == block_fields.VICTIM:
            dirty = entry[1]
        else:
            self.push(2, entry)
        # one copy carries the dirty data: the one nearest to memory that is filled
        victim = self.push(1, [line, dirty])
        if victim is not None:
            self.evict(2, victim)
        return [line, 0]


GEOMETRY = st.tuples(
    st.tuples(st.integers(1, 6), st.sampled_from([1, 2, 3, 12])),
    st.tuples(st.integers(1, 9), st.sampled_from([2, 4, 16, 20])),
    st.tuples(st.integers(1, 11), st.sampled_from([4, 11, 20, 40])),
)


@settings(max_examples=examples(60))
@given(
    geometry=GEOMETRY,
    inclusion=st.sampled_from([block_fields.NINE, block_fields.INCLUSIVE, block_fields.VICTIM]),
    seed=st.integers(0, 2**32 - 1),
    lines=st.integers(2, 400),
)
def test_misses_are_those_of_plain_lists(
    geometry: Any, inclusion: int, seed: int, lines: int
) -> None:
    specs = tuple(
        LevelSpec(
            LINE * sets * ways,
            ways,
            4.0 * 4**level,
            0.0,
            PRIVATE if level < 2 else CLUSTER,
            inclusion if level == 2 else block_fields.NINE,
        )
        for level, (sets, ways) in enumerate(geometry)
    )
    bench = Bench(levels=specs)
    model = Lists([g[0] for g in geometry], [g[1] for g in geometry], inclusion)
    random = np.random.default_rng(seed)
    # a popular part and a long tail, so that every level sees hits
    wanted = (lines * random.random(1500) ** 2).astype(int)
    writes = random.random(1500) < 0.3
    first = bench.base // LINE
    accesses = list(zip(wanted.tolist(), writes.tolist(), strict=True))
    bench.run([(STORE if write else LOAD, LINE * line, 0, 0) for line, write in accesses])
    for line, write in accesses:
        model.access(first + line, write)
    counted = bench.system.counters()
    assert [counted[f"L{level}_misses"] for level in (1, 2, 3)] == model.misses


# --- coherence ---


@njit
def run_on(mem, heap, cpus, program):
    """int64[n, 3] rows (CPU, address, writes) on the CPUs with these blocks, far apart in time."""
    for i in range(program.shape[0]):
        space = Timed(mem, heap, cpus[program[i, 0]])
        pause(space, max((i + 1) * 4000 * TICKS - now(space), 0), 0)
        if program[i, 2] != 0:
            store(space, program[i, 1], 8, 1, 0, 0)
        else:
            load(space, program[i, 1], 8, 0)


@njit
def sleep(space, ticks):
    """Other code runs."""
    pause(space, ticks, 0)


@pytest.mark.compiled
def test_strangers_replace_what_lies_untouched_in_the_last_level() -> None:
    half = 6_000_000.0
    levels = system_spec(load_machine("zen5-vm")).levels
    small = (levels[0], levels[1]._replace(size_bytes=1 << 16), levels[2])
    rows = [(LOAD, LINE * i, 0, 0) for i in range(1 << 14)]
    for cycles, left in ((0.1 * half, 0.98), (half, 0.5), (2 * half, 0.14)):
        bench = Bench(levels=small, retention_cycles=half)
        for _ in range(2):
            bench.run(rows)
        sleep(bench.space, int(cycles * TICKS))
        before = bench.system.counters()
        bench.run(rows[: 1 << 12])
        counts = {name: count - before[name] for name, count in bench.system.counters().items()}
        assert counts["L2_misses"] == 1 << 12
        assert 1 - counts["L3_misses"] / (1 << 12) == pytest.approx(left, abs=0.03)


class Directory:
    """MESI with caches that never evict: who owns a line, who has a copy."""

    def __init__(self) -> None:
        self.owner: dict[int, int] = {}
        self.sharers: dict[int, set[int]] = {}
        self.transfers = self.upgrades = self.invalidations = 0

    def access(self, cpu: int, line: int, writes: bool) -> None:
        """One access of a CPU."""
        sharers = self.sharers.setdefault(line, set())
        owner = self.owner.get(line)
        if cpu not in sharers:
            others = set(sharers)
            if owner is not None and owner != cpu:
                self.transfers += 1
                del self.owner[line]
            if writes:
                self.invalidations += len(others)
                sharers.clear()
            sharers.add(cpu)
            if writes or sharers == {cpu}:
                self.owner[line] = cpu
        elif writes and owner != cpu:
            others = sharers - {cpu}
            self.upgrades += bool(others)
            self.invalidations += len(others)
            self.sharers[line] = {cpu}
            self.owner[line] = cpu


@settings(max_examples=examples(60))
@given(
    accesses=st.lists(
        st.tuples(st.integers(0, 1), st.integers(0, 5), st.booleans()), min_size=1, max_size=200
    )
)
def test_two_cpus_share_lines_as_a_directory_says(accesses: list[tuple[int, int, bool]]) -> None:
    bench = Bench(cpus=2)
    model = Directory()
    program = np.array([(c, bench.base + LINE * i, w) for c, i, w in accesses], dtype=np.int64)
    run_on(bench.heap.mem, bench.heap.block, bench.system.cpu_row(), program)
    for cpu, line, writes in accesses:
        model.access(cpu, line, writes)
    counted = [
        bench.system.system_field(field)
        for field in (
            block_fields.S_TRANSFERS,
            block_fields.S_UPGRADES,
            block_fields.S_INVALIDATIONS,
        )
    ]
    assert counted == [model.transfers, model.upgrades, model.invalidations]


def test_a_line_between_two_cpus_is_transferred_each_time() -> None:
    bench = Bench(cpus=2)
    rows = np.array([(i % 2, bench.base, 1) for i in range(200)])
    run_on(bench.heap.mem, bench.heap.block, bench.system.cpu_row(), rows)
    assert bench.system.system_field(block_fields.S_TRANSFERS) == 199
    alone = Bench(cpus=2)
    rows[:, 0] = 0
    rows[:, 1] = alone.base
    run_on(alone.heap.mem, alone.heap.block, alone.system.cpu_row(), rows)
    assert alone.system.system_field(block_fields.S_TRANSFERS) == 0
