"""Every design answers as a dict does, in every reading, and gives all memory back."""

from __future__ import annotations

from typing import Any, NamedTuple

import numpy as np
import pytest
from examples import examples
from hypothesis import given, settings
from hypothesis import strategies as st

from cgsim.compile.jit import njit
from cgsim.core import traced
from cgsim.core.heap import Heap, allocate, grace_period, release, retire
from cgsim.core.host_memory import address_of
from cgsim.core.space import Native, Timed, Traced, load, peek, poke, store, work
from cgsim.core.system import System
from cgsim.designs import Design, add_design, base, blkg, get_design, list_designs, pointer_hash
from cgsim.designs.base import create, insert, lookup, put, register, remove, teardown
from cgsim.designs.ids import new_id
from cgsim.designs.kref_tree import adopt
from cgsim.designs.objects import cgroup_cache, field_offset
from cgsim.errors import UserError
from cgsim.kernel import load_kernel
from cgsim.machines import load_machine
from cgsim.machines.system_spec import system_spec
from cgsim.stage.loops import Harness, populate, run_lookups

MEMORY_BYTES = 1 << 27
INSTALL, LOOKUP, REMOVE, TEARDOWN, GRACE = range(5)
CGROUPS, KEYS = 3, 80


# --- a design in one file: what CONTRIBUTING.md promises ---


class Toy(NamedTuple):
    """A toy: four slots in the cgroup, key i in slot i."""

    cgroup_cache: int
    value_cache: int
    ids: int
    slots_offset: int
    datum_offset: int


TOY_SLOTS = 4


def toy_prepare(heap: Any, kernel: Any) -> Toy:
    """Caches and offsets."""
    owners = cgroup_cache(heap, kernel, 8 * TOY_SLOTS)
    values = heap.add_cache("datum", 16)
    return Toy(owners, values, heap.place("global:ids", 64), field_offset(kernel), 0)


@njit
def toy_register(space, design):
    return new_id(space, design.ids)


@njit
def toy_create(space, design):
    return allocate(space, design.cgroup_cache, 0)[0]


@njit
def toy_lookup(space, design, cgroup, key, token, key_token):
    work(space, 2, 0)
    return load(space, cgroup + design.slots_offset + 8 * key, 8, token)


@njit
def toy_insert(space, design, cgroup, key, token):
    if key >= TOY_SLOTS:
        return 0
    datum, datum_token = allocate(space, design.value_cache, token)
    store(space, cgroup + design.slots_offset + 8 * key, 8, datum, token, datum_token)
    return datum


@njit
def toy_remove(space, design, cgroup, key, token):
    datum, datum_token = load(space, cgroup + design.slots_offset + 8 * key, 8, token)
    if datum == 0:
        return False
    store(space, cgroup + design.slots_offset + 8 * key, 8, 0, token, 0)
    retire(space, design.value_cache, datum, datum_token)
    return True


@njit
def toy_teardown(space, design, cgroup, token):
    for key in range(TOY_SLOTS):
        toy_remove(space, design, cgroup, key, token)
    release(space, design.cgroup_cache, cgroup, token)


TOY = Design(
    name="toy",
    title="four slots in the cgroup",
    mirrors="nothing",
    parameters=Toy,
    prepare=toy_prepare,
    register=toy_register,
    create=toy_create,
    insert=toy_insert,
    lookup=toy_lookup,
    remove=toy_remove,
    teardown=toy_teardown,
    reader_side="rcu",
    max_keys=TOY_SLOTS,
)


@pytest.fixture(scope="module", autouse=True)
def _toy() -> Any:
    add_design(TOY)
    yield
    del base._BY_NAME["toy"]


# --- drivers ---


@njit
def play(space, design, caches, cgroups, keys, operations, results):
    """Play int64[n, 3] operations (what, cgroup, key); results int64[n, 3]: answer, two words.

    An installed datum's two words take the operation's number and its complement.
    """
    for i in range(operations.shape[0]):
        what, c, k = operations[i]
        if what == INSTALL:
            datum = insert(space, design, cgroups[c], keys[k], 0)
            results[i, 0] = datum
            if datum != 0:
                poke(space, datum, 8, i)
                poke(space, datum + 8, 8, ~i)
        elif what == LOOKUP:
            datum, _ = lookup(space, design, cgroups[c], keys[k], 0, 0)
            results[i, 0] = datum
            if datum != 0:
                results[i, 1] = peek(space, datum, 8)
                results[i, 2] = peek(space, datum + 8, 8)
                put(space, design, datum, 0)
        elif what == REMOVE:
            results[i, 0] = remove(space, design, cgroups[c], keys[k], 0)
        elif what == TEARDOWN:
            teardown(space, design, cgroups[c], 0)
            cgroups[c] = create(space, design)
            results[i, 0] = cgroups[c]
        else:
            for cache in range(caches):
                results[i, 0] += grace_period(space, cache)


@njit
def look_up(space, design, cgroup, key):
    """A lookup whose reference, if it takes one, is kept."""
    return lookup(space, design, cgroup, key, 0, 0)[0]


@njit
def drop(space, design, datum):
    """Give back what a lookup took."""
    put(space, design, datum, 0)


@njit
def register_keys(space, design, keys):
    """Register the keys."""
    for k in range(keys.size):
        keys[k] = register(space, design)


@njit
def create_cgroups(space, design, cgroups):
    """Create the cgroups."""
    for c in range(cgroups.size):
        cgroups[c] = create(space, design)


@njit
def end(space, design, cgroups, caches):
    """Tear all cgroups down and wait for the grace period."""
    for c in range(cgroups.size):
        teardown(space, design, cgroups[c], 0)
    for cache in range(caches):
        grace_period(space, cache)


class Stage:
    """A design on a heap of its own, with keys and cgroups."""

    def __init__(self, design: Design, version: str = "7.3.4", **options: Any) -> None:
        self.design = design
        self.heap = Heap(MEMORY_BYTES, seed=3)
        self.parameters = design.prepare(
            self.heap, load_kernel(version), **{**design.options, **options}
        )
        self.native = Native(self.heap.mem, self.heap.block)
        self.keys = np.zeros(min(design.max_keys, KEYS), dtype=np.int64)
        self.cgroups = np.zeros(CGROUPS, dtype=np.int64)
        register_keys(self.native, self.parameters, self.keys)
        self.before = self.live()
        create_cgroups(self.native, self.parameters, self.cgroups)

    def live(self) -> dict[str, int]:
        """Live objects by cache."""
        return {f"{i} {c.struct}": self.heap.live(i) for i, c in enumerate(self.heap.caches)}

    def play(self, operations: list[tuple[int, int, int]]) -> np.ndarray:
        """The results of the operations, int64[n, 3]."""
        rows = np.array(operations, dtype=np.int64).reshape(-1, 3)
        results = np.zeros((len(rows), 3), dtype=np.int64)
        caches = len(self.heap.caches)
        play(self.native, self.parameters, caches, self.cgroups, self.keys, rows, results)
        return results

    def end(self) -> None:
        """Tear all cgroups down and wait for the grace period."""
        end(self.native, self.parameters, self.cgroups, len(self.heap.caches))


def all_designs() -> list[Any]:
    """Every registered design and the toy."""
    return [pytest.param(design, id=design.name) for design in [*list_designs(), TOY]]


def plan(steps: list[tuple[int, int, int]], keys: int) -> list[tuple[int, int, int]]:
    """Operations that a user may ask for: nothing is installed twice."""
    present: set[tuple[int, int]] = set()
    operations = []
    for what, c, k in steps:
        pair = (c, k % keys)
        if what == INSTALL and pair in present:
            what = LOOKUP
        if what == INSTALL:
            present.add(pair)
        elif what == REMOVE:
            present.discard(pair)
        elif what == TEARDOWN:
            present = {other for other in present if other[0] != c}
        operations.append((what, *pair))
    return operations


def check(design: Design, operations: list[tuple[int, int, int]], results: np.ndarray) -> None:
    """Compare the answers with a dict's."""
    model: dict[tuple[int, int], tuple[int, int]] = {}
    for i, ((what, c, k), (answer, first, second)) in enumerate(
        zip(operations, results.tolist(), strict=True)
    ):
        if what == INSTALL:
            assert answer != 0
            assert answer not in [datum for datum, _ in model.values()]
            model[c, k] = (answer, i)
        elif what == LOOKUP and (c, k) in model:
            assert (answer, first) == model[c, k]
            assert second == ~first
        elif what == LOOKUP:
            assert answer == 0 or not design.checks_presence
        elif what == REMOVE:
            if (c, k) in model or design.checks_presence:
                assert bool(answer) == ((c, k) in model)
            model.pop((c, k), None)
        elif what == TEARDOWN:
            assert answer != 0
            model = {pair: entry for pair, entry in model.items() if pair[0] != c}


STEPS = st.lists(
    st.tuples(
        st.sampled_from([INSTALL, INSTALL, INSTALL, LOOKUP, LOOKUP, REMOVE, TEARDOWN, GRACE]),
        st.integers(0, CGROUPS - 1),
        st.integers(0, KEYS - 1),
    ),
    max_size=80,
)


@pytest.mark.parametrize("design", all_designs())
@settings(max_examples=examples(40))
@given(steps=STEPS)
def test_answers_as_a_dict(design: Design, steps: list[tuple[int, int, int]]) -> None:
    stage = Stage(design)
    operations = plan(steps, stage.keys.size)
    check(design, operations, stage.play(operations))
    stage.end()
    assert stage.live() == stage.before
    assert stage.heap.pending_bytes == 0


@pytest.mark.compiled
@pytest.mark.parametrize("design", all_designs())
def test_many_random_operations(design: Design) -> None:
    """Long runs reach what short ones do not: growth, shrinking, reuse of freed objects."""
    random = np.random.default_rng(7)
    stage = Stage(design, "6.12.117")
    weights = [0.42, 0.3, 0.24, 0.01, 0.03]
    steps = np.column_stack(
        [
            random.choice(5, size=20_000, p=weights),
            random.integers(0, CGROUPS, 20_000),
            random.integers(0, KEYS, 20_000),
        ]
    )
    operations = plan([tuple(row) for row in steps.tolist()], stage.keys.size)
    check(design, operations, stage.play(operations))
    stage.end()
    assert stage.live() == stage.before


@pytest.mark.parametrize(
    ("name", "options"),
    [
        ("list", {"owner": "rdma"}),
        ("dmem", {"owner": "dmem"}),
        ("blkg", {"owner": "blkcg"}),
        ("rhashtable", {"owner": "netlink"}),
        ("idr", {"owner": "idr"}),
        ("xarray", {"owner": "xarray"}),
        ("subsys", {"owner": "task"}),
        ("table", {"owner": "net"}),
        ("storage", {"owner": "task"}),
        ("storage", {"owner": "sock"}),
        ("cgroup-storage", {"percpu": True}),
        ("array", {"inlined": False}),
        ("htab", {"kind": "htab", "reads_id": False}),
    ],
    ids=lambda value: value if isinstance(value, str) else "-".join(map(str, value.values())),
)
def test_the_mirrored_objects_answer_too(name: str, options: dict[str, Any]) -> None:
    """With the objects that were recorded in place of the cgroup, or the function alone."""
    random = np.random.default_rng(11)
    stage = Stage(get_design(name), **options)
    steps = np.column_stack(
        [
            random.choice(5, size=3000, p=[0.42, 0.3, 0.24, 0.01, 0.03]),
            random.integers(0, CGROUPS, 3000),
            random.integers(0, KEYS, 3000),
        ]
    )
    operations = plan([tuple(row) for row in steps.tolist()], stage.keys.size)
    check(stage.design, operations, stage.play(operations))
    stage.end()
    assert stage.live() == stage.before


@pytest.mark.parametrize("design", all_designs())
def test_all_readings_agree(design: Design) -> None:
    """The sum of the data's addresses is the same natively, traced and timed."""
    heap = Heap(MEMORY_BYTES, seed=5)
    parameters = design.new(heap, load_kernel())
    native = Native(heap.mem, heap.block)
    keys = np.zeros(min(design.max_keys, 12), dtype=np.int64)
    cgroups = np.zeros(4, dtype=np.int64)
    assert populate(native, parameters, keys, cgroups, 9) == 0
    random = np.random.default_rng(1)
    order = np.column_stack([random.integers(0, 4, 200), random.integers(0, keys.size, 200)])
    log = traced.new_log(20_000)
    system = System(system_spec(load_machine("zen5-vm")), heap)
    harness = Harness(6, 840, 2)
    sums = [
        run_lookups(space, parameters, cgroups, keys, order, 0, 0, harness)
        for space in (
            native,
            Traced(heap.mem, heap.block, address_of(log)),
            Timed(heap.mem, heap.block, system.cpu()),
        )
    ]
    assert sums[0] > 0
    assert len(set(sums)) == 1
    assert not traced.is_full(log)
    # both readings execute the same instructions
    assert system.counters()["instructions"] == traced.parse(log).instructions


@pytest.mark.parametrize("name", ["idr", "xarray", "radix", "v4", "blkg"])
def test_a_taken_id_is_refused(name: str) -> None:
    stage = Stage(get_design(name))
    results = stage.play([(INSTALL, 0, 1), (INSTALL, 0, 1), (LOOKUP, 0, 1)])
    assert results[1, 0] == 0
    assert results[2, 0] == results[0, 0] != 0
    stage.end()
    assert stage.live() == stage.before


@pytest.mark.parametrize("name", ["htab", "percpu-htab", "lru-htab", "storage"])
def test_an_update_replaces(name: str) -> None:
    """BPF maps take the old element out; nothing of it is found, and nothing leaks."""
    stage = Stage(get_design(name))
    others = [(INSTALL, 0, key) for key in range(2, 6)]
    results = stage.play(
        [(INSTALL, 0, 1), *others, (LOOKUP, 0, 1), (INSTALL, 0, 1), (LOOKUP, 0, 1), (REMOVE, 0, 1),
         (LOOKUP, 0, 1)]
    )  # fmt: skip
    assert results[7, 0] == results[6, 0] not in (0, results[0, 0])
    assert results[8, 0]
    assert results[9, 0] == 0
    stage.end()
    assert stage.live() == stage.before


def test_attaching_again_uses_the_storage_again() -> None:
    stage = Stage(get_design("cgroup-storage"))
    results = stage.play([(INSTALL, 0, 1), (INSTALL, 0, 1), (LOOKUP, 0, 1)])
    assert results[0, 0] == results[1, 0] == results[2, 0] != 0
    stage.end()
    assert stage.live() == stage.before


def test_key_reuse_after_remove_and_teardown() -> None:
    for design in list_designs():
        stage = Stage(design)
        for ending in (REMOVE, TEARDOWN):
            results = stage.play(
                [(INSTALL, 0, 1), (INSTALL, 1, 1), (ending, 0, 1), (GRACE, 0, 0), (LOOKUP, 1, 1)]
            )
            assert results[4, 0] == results[1, 0], design.name
            again = stage.play([(INSTALL, 0, 1), (LOOKUP, 0, 1), (LOOKUP, 1, 1)])
            assert again[1, 0] == again[0, 0] != 0
            assert again[2, 0] == results[1, 0]
            stage.play([(REMOVE, 0, 1), (REMOVE, 1, 1), (GRACE, 0, 0)])


def test_removed_data_wait_for_a_grace_period() -> None:
    """But in the 2018 code, which frees them at once, under its mutex."""
    for design in list_designs():
        if not design.checks_presence:
            continue
        stage = Stage(design)
        stage.play([(INSTALL, 0, 0)])
        before = stage.heap.live(stage.parameters.value_cache)
        stage.play([(REMOVE, 0, 0)])
        waits = design.reader_side != "mutex"
        assert (stage.heap.pending_bytes > 0) == waits, design.name
        assert stage.heap.live(stage.parameters.value_cache) == before - (not waits)
        stage.play([(GRACE, 0, 0)])
        assert stage.heap.pending_bytes == 0
        assert stage.heap.live(stage.parameters.value_cache) == before - 1


def traced_once(stage: Stage, kernel: Any, *arguments: Any) -> traced.Record:
    """What a compiled function does on a stage, in the traced reading."""
    log = traced.new_log(4096)
    space = Traced(stage.heap.mem, stage.heap.block, address_of(log))
    kernel(space, stage.parameters, *arguments)
    return traced.parse(log)


@njit
def remove_one(space, design, cgroup, key):
    return remove(space, design, cgroup, key, 0)


@njit
def install_one(space, design, cgroup, key):
    return insert(space, design, cgroup, key, 0)


@njit
def drop_key(space, design, key):
    return base.drop(space, design, key, 0)


@njit
def registered(space, design):
    return register(space, design)


def words_locked(stage: Stage, record: traced.Record) -> list[str]:
    """The structs on whose words a record has locked operations, in order."""
    return [
        stage.heap.caches[stage.heap.resolve(a.address)[0]].struct
        for a in record.accesses
        if a.operation == "RMW!"
    ]


def test_the_2018_code_frees_every_entry_of_the_key_at_once() -> None:
    """cgroup_priv_free walks on behind the first match, all of it under the mutex."""
    for as_posted in (False, True):
        stage = Stage(get_design("hash"), as_posted=as_posted)
        stage.play([(INSTALL, 0, 0)] * 3)
        values = stage.parameters.value_cache
        assert stage.heap.live(values) == 3
        record = traced_once(stage, remove_one, int(stage.cgroups[0]), int(stage.keys[0]))
        assert stage.heap.live(values) == 0
        assert stage.heap.pending_bytes == 0
        assert stage.play([(LOOKUP, 0, 0)])[0, 0] == 0
        assert words_locked(stage, record) == ["cgroup", "cgroup"]
        assert record.accesses[-1].operation == "RMW!", "the last thing is mutex_unlock"


def test_v4_keys_and_references() -> None:
    """Keys from 1; install takes a reference beside its caller's, who drops that one."""
    stage = Stage(get_design("v4"))
    assert list(stage.keys[:3]) == [1, 2, 3]
    record = traced_once(stage, install_one, int(stage.cgroups[0]), 1)
    assert words_locked(stage, record).count("kref_datum") == 2
    datum = look_up(stage.native, stage.parameters, stage.cgroups[0], 1)
    assert stage.heap.read(datum - stage.parameters.datum_offset) & 0xFFFFFFFF == 2


def test_v4_destroykey_visits_the_roots_children_only() -> None:
    stage = Stage(get_design("v4"))
    stage.play([(INSTALL, c, 0) for c in range(CGROUPS)])
    adopt(stage.native, stage.parameters, int(stage.cgroups[1]))
    assert drop_key(stage.native, stage.parameters, 1) == 1
    found = stage.play([(LOOKUP, c, 0) for c in range(CGROUPS)])[:, 0]
    assert [bool(datum) for datum in found] == [True, False, True]
    assert registered(stage.native, stage.parameters) == 1, "the next driver gets the key"


def test_dropping_a_key_walks_the_owners_list() -> None:
    """A cgroup without the key is not touched, however many there are."""
    for name, options in (("dmem", {}), ("storage", {}), ("hash", {"owner_list": True})):
        stage = Stage(get_design(name), **options)
        stage.play([(INSTALL, 0, 0), (INSTALL, 2, 0), (INSTALL, 1, 1)])
        record = traced_once(stage, drop_key, int(stage.keys[0]))
        size = stage.heap.caches[stage.parameters.cgroup_cache].stride_bytes
        other = int(stage.cgroups[1])
        assert not any(other <= a.address < other + size for a in record.accesses), name
        found = stage.play([(LOOKUP, 0, 0), (LOOKUP, 2, 0), (LOOKUP, 1, 1)])[:, 0]
        assert [bool(datum) for datum in found] == [False, False, True], name
        stage.end()


def test_a_dead_region_is_never_answered() -> None:
    """Unregister empties its list; its address is not given again while a pool is left."""
    stage = Stage(get_design("dmem"))
    stage.play([(INSTALL, 0, 0)])
    region = int(stage.keys[0])
    held = look_up(stage.native, stage.parameters, stage.cgroups[0], region)
    drop_key(stage.native, stage.parameters, region)
    stage.play([(GRACE, 0, 0)])
    assert stage.play([(LOOKUP, 0, 0)])[0, 0] == 0
    assert registered(stage.native, stage.parameters) != region, "the pool holds a reference"
    drop(stage.native, stage.parameters, held)
    stage.play([(GRACE, 0, 0)])
    assert registered(stage.native, stage.parameters) == region
    assert stage.play([(LOOKUP, 0, 0)])[0, 0] == 0


def test_a_table_is_made_for_the_largest_id_known() -> None:
    """Who comes later has room at once; who was there grows by copy, to the same size."""
    stage = Stage(get_design("table"))  # 80 keys are registered before there is a cgroup
    length = stage.heap.read(stage.heap.read(
        int(stage.cgroups[0]) + stage.parameters.pointer_offset
    ))  # fmt: skip
    assert length & 0xFFFFFFFF == 3 + KEYS
    stage.play([(INSTALL, 0, KEYS - 1)])
    assert stage.heap.pending_bytes == 0, "nothing is copied"
    late = registered(stage.native, stage.parameters)
    assert late == 3 + KEYS
    registered(stage.native, stage.parameters)
    install_one(stage.native, stage.parameters, int(stage.cgroups[0]), late)
    assert stage.heap.pending_bytes > 0
    table = stage.heap.read(int(stage.cgroups[0]) + stage.parameters.pointer_offset)
    assert stage.heap.read(table) & 0xFFFFFFFF == late + 2, "two ids were known by then"


def test_local_storage_links_to_its_maps_bucket_too() -> None:
    """Install and remove take the storage's lock and that of a bucket of the map."""
    stage = Stage(get_design("storage"))
    cgroup, smap = int(stage.cgroups[0]), int(stage.keys[0])
    stage.play([(INSTALL, 0, 1)])
    for kernel in (install_one, remove_one):
        record = traced_once(stage, kernel, cgroup, smap)
        locked = words_locked(stage, record)
        assert sorted(locked) == ["bpf_local_storage", "bpf_local_storage_map_bucket"]


def test_a_busy_storage_says_no() -> None:
    """6.12: a program that interrupts a helper of its kind on the same CPU gets NULL."""
    heap = Heap(MEMORY_BYTES, seed=1)
    design = get_design("storage").prepare(heap, load_kernel("6.12.117"))
    native = Native(heap.mem, heap.block)
    keys, cgroups = np.zeros(1, dtype=np.int64), np.zeros(1, dtype=np.int64)
    populate(native, design, keys, cgroups, 1)
    assert look_up(native, design, cgroups[0], keys[0]) != 0
    heap.write(design.busy, 1)
    assert look_up(native, design, cgroups[0], keys[0]) == 0
    assert heap.read(design.busy) == 1, "and the counter is as it was"


def test_a_reference_keeps_a_removed_datum() -> None:
    """Where a lookup takes a reference, remove and teardown only drop the design's own."""
    for name in ("dmem", "v4"):
        for ending in (REMOVE, TEARDOWN):
            stage = Stage(get_design(name))
            value_cache = stage.parameters.value_cache
            stage.play([(INSTALL, 0, 0)])
            held = look_up(stage.native, stage.parameters, stage.cgroups[0], stage.keys[0])
            stage.play([(ending, 0, 0), (GRACE, 0, 0)])
            assert stage.play([(LOOKUP, 0, 0)])[0, 0] == 0, name
            assert stage.heap.live(value_cache) == 1, "a user still has it"
            drop(stage.native, stage.parameters, held)
            stage.play([(GRACE, 0, 0)])
            assert stage.heap.live(value_cache) == 0


def test_a_blkg_hint_follows_its_queue() -> None:
    """The hint answers for its own queue only, and goes with its blkg."""
    stage = Stage(get_design("blkg"))
    design, cgroup = stage.parameters, int(stage.cgroups[0])
    found = stage.play([(INSTALL, 0, 0), (INSTALL, 0, 70)])[:, 0]
    blkg.remember(stage.native, design, cgroup, int(stage.keys[70]), 0)
    assert stage.heap.read(cgroup + design.hint_offset) == found[1] - design.datum_offset
    assert list(stage.play([(LOOKUP, 0, 0), (LOOKUP, 0, 70)])[:, 0]) == list(found)
    stage.play([(REMOVE, 0, 70)])
    assert stage.heap.read(cgroup + design.hint_offset) == 0
    assert stage.play([(LOOKUP, 0, 70)])[0, 0] == 0


def test_rhashtable_grows_and_shrinks() -> None:
    stage = Stage(get_design("rhashtable"))

    def buckets() -> int:
        table = stage.heap.read(stage.parameters.table + stage.parameters.tbl_offset)
        return stage.heap.read(table) & 0xFFFFFFFF

    pairs = [(c, k) for c in range(CGROUPS) for k in range(KEYS)]
    sizes = [buckets()]
    for pair in pairs:
        stage.play([(INSTALL, *pair)])
        sizes.append(buckets())
    for count, size in enumerate(sizes):
        assert size == next(s for s in (64, 128, 256, 512) if count <= 3 * s // 4)
    for pair in pairs:
        stage.play([(REMOVE, *pair)])
        sizes.append(buckets())
    assert max(sizes) == 512
    assert sizes[-1] == 64
    table = stage.heap.read(stage.parameters.table + stage.parameters.tbl_offset)
    first = table + stage.parameters.buckets_offset
    assert all(stage.heap.read(first + 8 * index) == 0 for index in range(64))


def test_a_map_keyed_by_cgroup_pays_for_the_id() -> None:
    """What a program does: it reads the cgroup's id, puts it on its stack, and calls the map."""
    for name, chain in (("htab", ["cgroup", "kernfs_node"]), ("array", ["cgroup"])):
        stage = Stage(get_design(name))
        stage.play([(INSTALL, 0, 0)])
        log = traced.new_log(64)
        space = Traced(stage.heap.mem, stage.heap.block, address_of(log))
        look_up(space, stage.parameters, stage.cgroups[0], stage.keys[0])
        accesses = traced.parse(log).accesses[: len(chain) + 1]
        structs = [stage.heap.caches[stage.heap.resolve(a.address)[0]].struct for a in accesses]
        assert structs == [*chain, "keybuf"]
        assert [a.operation for a in accesses] == ["R"] * len(chain) + ["W"]


def test_an_array_element_outlives_its_cgroup() -> None:
    """A css id is used again; what user space does not clear, the next cgroup finds."""
    stage = Stage(get_design("array"))
    first = stage.play([(INSTALL, 0, 0), (LOOKUP, 0, 0)])
    again = stage.play([(TEARDOWN, 0, 0), (LOOKUP, 0, 0)])
    assert again[1, 0] == first[0, 0]
    assert again[1, 1] == again[1, 2] == 0, "teardown clears it"


def test_hash_as_posted_loses_entries() -> None:
    """The 2018 code unlinks every entry of the bucket that stands before the key's."""
    for as_posted, left in ((True, 0), (False, 1)):
        stage = Stage(get_design("hash"), as_posted=as_posted)
        bits = stage.parameters.bits
        buckets = [pointer_hash.hash_64(int(key), bits) for key in stage.keys]
        bucket = max(set(buckets), key=buckets.count)
        first, second = [k for k, b in enumerate(buckets) if b == bucket][:2]
        # the second is found before the first: entries are added at the head
        results = stage.play(
            [(INSTALL, 0, first), (INSTALL, 0, second), (REMOVE, 0, first), (LOOKUP, 0, second)]
        )
        assert bool(results[2, 0])
        assert bool(results[3, 0]) == bool(left), "the entry that nobody removed"


def test_a_name_is_taken_once() -> None:
    class Other(NamedTuple):
        datum_offset: int
        value_cache: int

    class Incomplete(NamedTuple):
        value_cache: int

    fields = {**vars(TOY), "parameters": Other, "name": "list"}
    with pytest.raises(UserError, match="exists already"):
        add_design(Design(**fields))
    with pytest.raises(UserError, match="datum_offset"):
        add_design(Design(**{**fields, "parameters": Incomplete, "name": "incomplete"}))
    with pytest.raises(UserError, match="did you mean 'table'"):
        get_design("tabel")


@pytest.mark.compiled
def test_a_foreign_design_leaves_no_trace_in_the_package_cache() -> None:
    """Its types name a module that other processes cannot import."""
    from cgsim.stage import loops
    from cgsim.stage.ask import ask

    assert loops.compiled_for(ask, Toy) is not ask
    assert loops.compiled_for(ask, Toy) is loops.compiled_for(ask, Toy)
    assert loops.compiled_for(ask, get_design("list").parameters) is ask
