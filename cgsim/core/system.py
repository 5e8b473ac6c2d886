"""Building a timed machine in memory from plain parameters."""

from typing import NamedTuple

import numpy as np

from cgsim.core import block_fields as b
from cgsim.core import predictor, rob, scheduler
from cgsim.core.attribution import Places
from cgsim.core.host_memory import address_of, reserve
from cgsim.core.lru_list import new_list
from cgsim.core.recency import OTHERS, row_entries
from cgsim.core.recording import install
from cgsim.core.timed import entry_points, now

PRIVATE, CLUSTER, SOCKET = range(3)
LINE_BYTES = 64
_CORES_OF_A_WORD = 62  # sharers in a word of a directory's record


class LevelSpec(NamedTuple):
    """One cache level. `shared_by`: PRIVATE (a core), CLUSTER or SOCKET."""

    size_bytes: int
    ways: int
    latency_cycles: float
    interval_cycles: float = 0.0
    shared_by: int = PRIVATE
    inclusion: int = b.NINE
    hashed: bool = False
    random: bool = False
    same_place_cycles: float = 0.0


class TlbSpec(NamedTuple):
    """The data TLB.

    entries_1, ways_1 : first level, one number per page size (4 KiB, 2 MiB, 1 GiB); `shared_1` if
    one structure holds all sizes. extra_cycles : of a hit in the second level. walk_cycles : on top
    of it where both levels miss, by page size. huge_bytes : what an entry covers of a 2 MiB page.
    """

    entries_1: tuple
    ways_1: tuple
    shared_1: bool
    entries_2: int
    ways_2: int
    giant_in_2: bool
    extra_cycles: float
    walk_cycles: tuple
    huge_bytes: int


class SystemSpec(NamedTuple):
    """What the engine needs to know of a machine; cycles are of `ghz`.

    `core_of_cpu`, `cluster_of_core`, `socket_of_core`, `node_of_core`: topology, tuples of int.
    `width`: instructions dispatched per cycle; `memory_cycles[node][home]`;
    `transfer_cycles[core][owner]` of a line another core owns, `invalidate_cycles[core][other]`
    until a copy there is gone. `alu_entries`, `agu_entries`: of the schedulers, 0: they do not
    bind; `hold_cycles`: an entry is held beyond the wait for operands. `retention_cycles`: after
    which strangers have replaced half of the last level, 0: nobody does. `predicts`: False takes
    every branch for well predicted, `reads_entries`: False every page-table entry for cached.
    `renamed_cycles`: as `forward_cycles`, where the address needs no computation; None: the same.
    `sibling_cycles`: of a line between locked operations of a core's hardware threads.
    `node_interval_cycles`: between two lines from one node's memory to all CPUs, 0 for no limit;
    `link_interval_cycles`: to the CPUs of other nodes.
    """

    ghz: float
    levels: tuple
    tlb: TlbSpec | None
    width: float
    rob_entries: int
    store_entries: int
    store_interval_cycles: float
    fill_entries: int
    memory_interval_cycles: float
    mispredict_cycles: float
    locked_cycles: float
    forward_cycles: float
    fence_cycles: float
    alu_cycles: float
    multiply_cycles: float
    indexed_cycles: float
    prefetch_next_line: bool
    core_of_cpu: tuple
    cluster_of_core: tuple
    socket_of_core: tuple
    node_of_core: tuple
    memory_cycles: tuple
    transfer_cycles: object
    invalidate_cycles: object
    alu_entries: int = 0
    agu_entries: int = 0
    hold_cycles: float = 0.0
    retention_cycles: float = 0.0
    predicts: bool = True
    reads_entries: bool = True
    renamed_cycles: float | None = None
    sibling_cycles: float = 0.0
    node_interval_cycles: float = 0.0
    link_interval_cycles: float = 0.0
    memory_same_place_cycles: float = 0.0


def ticks(cycles):
    """Whole ticks of a number of cycles."""
    return round(cycles * b.TICKS)


class System:
    """A machine's state: all its CPUs, caches, TLBs, directory and counters.

    Parameters
    ----------
    spec : SystemSpec
    heap : cgsim.core.heap.Heap
        The memory it works on.
    places : bool
        Attribute each access to its object and word (`cgsim.core.attribution`): slower, same times.
    """

    def __init__(self, spec, heap, *, places=False):
        if heap.memory_bytes // LINE_BYTES > OTHERS:
            raise ValueError(f"a timed machine addresses at most {LINE_BYTES * OTHERS} bytes")
        self.spec = spec
        self.heap = heap
        self._keep = []
        cores = len(spec.cluster_of_core)
        self._system = self._array(b.SYSTEM_FIELDS)
        self._caches = {}
        self._core_arrays = {}
        self._fill_system(cores)
        self.places = Places(heap, cores) if places else None
        if self.places is not None:
            self.places.install(self._system)
        self._cpus = [self._new_cpu(cpu) for cpu in range(len(spec.core_of_cpu))]
        first: dict[int, int] = {}
        for cpu, core in enumerate(spec.core_of_cpu):
            first.setdefault(core, address_of(self._cpus[cpu]))
        row = self._array(cores)
        row[:] = [first[core] for core in range(cores)]
        self._system[b.S_CORE_CPU] = address_of(row)

    def _array(self, words, dtype=np.int64):
        return self._own(np.zeros(int(words), dtype=dtype))

    def _own(self, array):
        self._keep.append(array)
        return array

    def _shared(self, what, core, words):
        """Raw address of an array that the CPUs of a core share."""
        if (what, core) not in self._core_arrays:
            self._core_arrays[what, core] = self._array(words)
        return address_of(self._core_arrays[what, core])

    def _fill_system(self, cores):
        spec, system = self.spec, self._system
        system[b.S_PAGE_MAP] = address_of(self.heap.page_map)
        system[b.S_PAGE_TABLE] = self.heap.page_table if spec.reads_entries else 0
        system[b.S_CORES] = cores
        system[b.S_LEVELS] = len(spec.levels)
        system[b.S_PRIVATE] = sum(level.shared_by == PRIVATE for level in spec.levels)
        memory = np.asarray(spec.memory_cycles, dtype=float)
        latencies = self._array(memory.size)
        latencies[:] = np.rint(memory.ravel() * b.TICKS)
        system[b.S_MEMORY] = address_of(latencies)
        system[b.S_NODES] = memory.shape[0]
        system[b.S_MEMORY_INTERVAL] = ticks(spec.memory_interval_cycles)
        system[b.S_NODE_INTERVAL] = ticks(spec.node_interval_cycles)
        system[b.S_LINK_INTERVAL] = ticks(spec.link_interval_cycles)
        self._node_rings = self._array(memory.shape[0] * 2 * b.WINDOWS * 2)
        system[b.S_NODE_RINGS] = address_of(self._node_rings)
        system[b.S_PREFETCH] = int(spec.prefetch_next_line)
        system[b.S_MISPREDICT] = ticks(spec.mispredict_cycles)
        system[b.S_LOCKED] = ticks(spec.locked_cycles)
        system[b.S_FORWARD] = ticks(spec.forward_cycles)
        renamed = spec.renamed_cycles
        system[b.S_RENAMED] = system[b.S_FORWARD] if renamed is None else ticks(renamed)
        system[b.S_SIBLING] = ticks(spec.sibling_cycles)
        if spec.retention_cycles:
            system[b.S_RETENTION] = ticks(spec.retention_cycles)
            entered = reserve(self.heap.memory_bytes // LINE_BYTES * 8)
            self._keep.append(entered)
            system[b.S_ENTERED] = address_of(entered)
            self._shares = np.full(2 * b.SHARES, -1)  # no age
            system[b.S_SHARES] = address_of(self._shares)
        system[b.S_BULK] = int(self._touches_in_bulk(cores))
        self._queue = np.zeros(b.CHUNK * b.QUEUED_WORDS, dtype=np.int64)
        system[b.S_QUEUE] = address_of(self._queue)
        intervals = self._array(len(b.CAUSES))
        for number, level in enumerate(spec.levels):
            intervals[b.LEVEL_1 + number] = ticks(level.same_place_cycles)
        intervals[b.MEMORY] = ticks(spec.memory_same_place_cycles)
        system[b.S_SAME_PLACE] = address_of(intervals) if intervals.any() else 0
        system[b.S_FENCE] = ticks(spec.fence_cycles)
        system[b.S_HUGE_SHIFT] = 21
        if spec.tlb is not None:
            system[b.S_HUGE_SHIFT] = spec.tlb.huge_bytes.bit_length() - 1
            system[b.S_GIANT_IN_TLB_2] = int(spec.tlb.giant_in_2)
        if cores > 1:
            for field, cycles in (
                (b.S_TRANSFER, spec.transfer_cycles),
                (b.S_INVALIDATE, spec.invalidate_cycles),
            ):
                row = self._array(cores * cores)
                row[:] = np.rint(np.asarray(cycles, dtype=float).ravel() * b.TICKS)
                system[field] = address_of(row)
            words = b.D_SHARERS + (cores + 61) // 62
            system[b.S_RECORD_WORDS] = words
            directory = reserve(self.heap.memory_bytes // LINE_BYTES * words * 8, huge=False)
            self._keep.append(directory)
            system[b.S_DIRECTORY] = address_of(directory)

    def _touches_in_bulk(self, cores):
        """Whether the machine is such that other code's lines can be touched in bulk."""
        spec = self.spec
        if len(spec.levels) != 3 or spec.prefetch_next_line or cores > _CORES_OF_A_WORD:
            return False
        one, two, last = spec.levels
        sets_1, sets_2 = (level.size_bytes // (LINE_BYTES * level.ways) for level in (one, two))
        return (
            one.shared_by == two.shared_by == PRIVATE != last.shared_by
            and last.inclusion == b.VICTIM
            and max(one.ways, last.ways) <= 16
            and sets_1 & (sets_1 - 1) == 0
            and sets_2 >= b.CHUNK
            and not (one.hashed or one.random or last.random)
        )

    def _level(
        self,
        key,
        sets,
        ways,
        latency,
        interval=0,
        inclusion=b.NINE,
        hashed=False,
        random=False,
    ):
        """The level shared under `key`, made on first use; returns its block's address."""
        if key not in self._caches:
            block = self._array(b.LEVEL_FIELDS)
            entries = row_entries(ways)
            rows = reserve(sets * entries * 4)
            self._keep.append(rows)
            block[b.K_SETS] = sets
            block[b.K_MASK] = sets - 1 if sets & (sets - 1) == 0 else -1
            block[b.K_WAYS] = ways
            block[b.K_ROW_BYTES] = entries * 4
            block[b.K_ROWS] = address_of(rows)
            block[b.K_LATENCY] = latency
            block[b.K_INTERVAL] = interval
            block[b.K_INCLUSION] = inclusion
            block[b.K_RANDOM] = int(random)
            block[b.K_FOLD] = max((sets - 1).bit_length(), 1) if hashed else 0
            if key[0] == "TLB1" and sets == 1:
                # names are page numbers and sizes: cgsim.core.translation
                names = (self.heap.memory_bytes >> 12) + 2 << 2
                block[b.K_LIST], keep = new_list(ways, names)
                self._keep.extend(keep)
            self._caches[key] = block
        return address_of(self._caches[key])

    def _new_cpu(self, cpu):
        spec = self.spec
        core = spec.core_of_cpu[cpu]
        block = self._array(b.CPU_WORDS)
        block[b.C_SYSTEM] = address_of(self._system)
        block[b.C_CORE] = core
        block[b.C_NODE] = spec.node_of_core[core]
        owners = (core, spec.cluster_of_core[core], spec.socket_of_core[core])
        for number, level in enumerate(spec.levels):
            sets = level.size_bytes // (LINE_BYTES * level.ways)
            block[b.C_LEVELS + number] = self._level(
                (number, owners[level.shared_by]),
                sets,
                level.ways,
                ticks(level.latency_cycles),
                ticks(level.interval_cycles),
                level.inclusion,
                level.hashed,
                level.random,
            )
        if spec.tlb is not None:
            tlb = spec.tlb
            for size in range(3):
                key = ("TLB1", core, 0 if tlb.shared_1 else size)
                sets = tlb.entries_1[size] // tlb.ways_1[size]
                block[b.C_TLB_1 + size] = self._level(key, sets, tlb.ways_1[size], 0)
                block[b.C_WALK + size] = ticks(tlb.walk_cycles[size])
            if tlb.entries_2:
                sets = tlb.entries_2 // tlb.ways_2
                extra = ticks(tlb.extra_cycles)
                block[b.C_TLB_2] = self._level(("TLB2", core, 0), sets, tlb.ways_2, extra)
        block[b.C_LAST_PAGE] = -1
        block[b.C_FLIGHT] = address_of(self._array(b.FLIGHT_ENTRIES * 2))
        block[b.C_WIDTH] = round(b.TICKS / spec.width)
        block[b.C_ALU] = ticks(spec.alu_cycles)
        block[b.C_MULTIPLY] = ticks(spec.multiply_cycles)
        block[b.C_INDEXED] = ticks(spec.indexed_cycles)
        siblings = spec.core_of_cpu.count(core)
        if siblings > 1:
            block[b.C_SLOTS] = self._shared("slots", core, 1)
        block[b.C_TENURE] = self._shared("tenure", core, b.TENURE_ENTRIES * b.TENURE_FIELDS)
        store_entries = max(spec.store_entries // siblings, 1)
        # hardware threads halve these buffers between them
        block[b.C_ROB_ENTRIES] = min(max(spec.rob_entries // siblings, 1), rob.MOST_ENTRIES)
        block[b.C_NOTES] = address_of(self._array(rob.NOTES))
        block[b.C_WAITING] = scheduler.empty(
            -(-spec.alu_entries // siblings), -(-spec.agu_entries // siblings)
        )
        binds = spec.alu_entries or spec.agu_entries
        block[b.C_HOLD] = ticks(spec.hold_cycles) if binds else -1
        block[b.C_WAIT_LIMIT] = scheduler.FIRST_LIMIT if binds else b.NEVER
        block[b.C_STORE_ENTRIES] = store_entries
        block[b.C_STORE_INTERVAL] = ticks(spec.store_interval_cycles)
        block[b.C_STORE_RING] = address_of(self._array(store_entries))
        block[b.C_FORWARD] = address_of(self._array(b.FORWARD_ENTRIES * b.FORWARD_FIELDS))
        block[b.C_FILL_ENTRIES] = spec.fill_entries
        block[b.C_SAME_PLACE] = address_of(self._array(b.PAGE_LINES * len(b.CAUSES)))
        block[b.C_LEADS] = address_of(self._array(2 * b.LEADS))
        block[b.C_FILLS] = address_of(self._array(spec.fill_entries))
        if spec.predicts:
            block[b.C_PREDICTOR] = address_of(self._own(predictor.new_tables()))
        block[b.CPU_FIELDS : b.C_WAIT] = entry_points()
        self._shorten(block, siblings)
        return block

    def _shorten(self, block, siblings):
        """Let accesses take the short way where nothing stands in its way: see `timed.load`."""
        first = self._caches[0, block[b.C_CORE]]
        simple = first[b.K_MASK] >= 0 and first[b.K_FOLD] == 0 and first[b.K_ROW_BYTES] == 64
        if not simple or siblings > 1 or self.places is not None:
            block[b.C_QUIET] = b.NEVER
        block[b.C_L1_ROWS] = first[b.K_ROWS]
        # where the short way is closed it still reads a row: the first one
        block[b.C_L1_MASK] = first[b.K_MASK] << 6 if simple else 0
        block[b.C_L1_LATENCY] = first[b.K_LATENCY]
        block[b.C_L1_INTERVAL] = first[b.K_INTERVAL]
        if self.spec.tlb is None:
            # one page covers everything
            block[b.C_LAST_SHIFT] = 62
            block[b.C_LAST_PAGE] = 0

    def surround(self, hot_lines, ring_lines):
        """Keep other code's lines (`cgsim.core.other_code`).

        hot_lines, ring_lines : of each CPU, those touched each time and those streamed through.
        """
        for number in range(len(self.spec.levels)):
            blocks = [int(cpu[b.C_LEVELS + number]) for cpu in self._cpus]
            for cpu, block in enumerate(self._cpus):
                sharing = [other for other, at in enumerate(blocks) if at == blocks[cpu]]
                if number == 1:
                    block[b.C_FIRST_HOT] = hot_lines * sharing.index(cpu)
                if sharing[0] == cpu:
                    self._surround_level(number, cpu, len(sharing), hot_lines, ring_lines)

    def _surround_level(self, number, cpu, sharing, hot_lines, ring_lines):
        block = self._level_of(number, cpu)
        sets, lines = int(block[b.K_SETS]), ring_lines * sharing
        block[b.K_NUMBER] = number
        block[b.K_CPU] = address_of(self._cpus[cpu])
        if block[b.K_INCLUSION] == b.VICTIM:
            above = self._level_of(number - 1, cpu)
            block[b.K_LAG] = above[b.K_SETS] * above[b.K_WAYS]
            lines = sharing * max(ring_lines - int(block[b.K_LAG]), 0)
        block[b.K_RING] = -(-lines // sets)
        if number > 0:
            block[b.K_SEEN] = address_of(self._array(2 * sets))
        if number == 1:
            block[b.K_HOT] = address_of(self._array(2 * max(hot_lines * sharing, 1)))
            block[b.K_HOT_LINES] = hot_lines * sharing
        if number == len(self.spec.levels) - 2:
            block[b.K_EVENTS] = address_of(self._array(3 * b.EVENTS))

    def _level_of(self, number, cpu):
        core = self.spec.core_of_cpu[cpu]
        owners = (core, self.spec.cluster_of_core[core], self.spec.socket_of_core[core])
        return self._caches[number, owners[self.spec.levels[number].shared_by]]

    @property
    def arrays(self):
        """All that it remembers: arrays, which a run overwrites."""
        return list(self._keep)

    def touches_in_bulk(self):
        """Whether other code's lines are touched in bulk (`cgsim.core.background`)."""
        return bool(self._system[b.S_BULK])

    def touch_in_bulk(self, bulk):
        """Touch other code's lines in bulk, or else one by one: slower, the same state."""
        self._system[b.S_BULK] = int(bulk)

    def record(self, log):
        """Note every access from now on in a log (`cgsim.core.recording`): slower, same times."""
        install(log, self._system, self._cpus)

    def misses(self):
        """Misses of each cache level, over all its instances: a dict of int."""
        found = {f"L{number + 1}": 0 for number in range(len(self.spec.levels))}
        for key, block in self._caches.items():
            if isinstance(key[0], int):
                found[f"L{key[0] + 1}"] += int(block[b.K_MISSES])
        return found

    def settle(self):
        """The memory of all nodes is idle: what a warm-up touched took no time."""
        self._node_rings[:] = 0

    def cpu(self, number=0):
        """Raw address of a CPU's block: what `Timed.cpu` takes."""
        return address_of(self._cpus[number])

    def cpu_row(self):
        """int64 array: CPU number -> raw address of its block."""
        return np.array([address_of(block) for block in self._cpus], dtype=np.int64)

    def field(self, field, cpu=0):
        """A field of a CPU's block (`cgsim.core.block_fields`), as int."""
        now(self.cpu(cpu))
        return int(self._cpus[cpu][field])

    def system_field(self, field):
        """A field of the system block, as int."""
        return int(self._system[field])

    def causes(self, cpu=0):
        """Ticks of the CPU's time by cause: int64[len(CAUSES)]; they add up to the time run."""
        now(self.cpu(cpu))
        block = self._cpus[cpu]
        ticks = block[b.C_CAUSES : b.C_CAUSES + len(b.CAUSES)].copy()
        ticks[b.WORK] += block[b.C_RETIRE] - block[b.C_PAUSED] - ticks.sum()
        return ticks

    def counters(self, cpu=0):
        """What the CPU counted so far: a dict of int.

        Hits and misses are per level as the CPU's lookups met them, shared levels included.
        """
        now(self.cpu(cpu))
        block = self._cpus[cpu]
        counts = {
            "instructions": int(block[b.C_INSTRUCTIONS]),
            "accesses": int(block[b.C_ACCESSES]),
            "branches": int(block[b.C_BRANCHES]),
            "mispredicts": int(block[b.C_MISPREDICTS]),
        }
        core = self.spec.core_of_cpu[cpu]
        for number in range(len(self.spec.levels)):
            counts[f"L{number + 1}_misses"] = int(self._level_of(number, cpu)[b.K_MISSES])
        for name in ("TLB1", "TLB2"):
            blocks = [v for k, v in self._caches.items() if k[:2] == (name, core)]
            counts[f"{name}_misses"] = int(sum(block[b.K_MISSES] for block in blocks))
        return counts
