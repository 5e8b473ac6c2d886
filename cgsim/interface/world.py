"""The kernel around the reference interfaces: cgroups, contexts, RCU, CPUs, and data in memory.

One thing happens at a time (what runs beside it is `explore`'s question), but sections, contexts
and grace periods are kept: what is removed while a section lasts is freed when that ends, once.
"""

from __future__ import annotations

from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

from cgsim.core.heap import Heap, allocate, grace_period, release
from cgsim.core.space import Native, peek, poke
from cgsim.designs.base import get_design
from cgsim.errors import UserError
from cgsim.kernel import load_kernel
from cgsim.stage.ask import CREATE, INSTALL, LOOKUP, PUT, REGISTER, REMOVE, TEARDOWN, ask
from cgsim.stage.loops import compiled_for

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

_MEMORY_BYTES = 1 << 27
_MOST_KEYS = 40


class Refused(UserError):
    """What an interface says of a misuse."""


@dataclass(eq=False)
class Cgroup:
    """A directory: `name` for messages; `tasks` are in it; None is the root's parent."""

    name: str
    parent: Cgroup | None
    online: bool = True
    tasks: int = 0
    children: list[Cgroup] = field(default_factory=list)
    addresses: dict[int, int] = field(default_factory=dict)

    def below(self) -> list[Cgroup]:
        """This one and all its descendants, parents first."""
        found = [self]
        for cgroup in found:
            found += cgroup.children
        return found


class Core:
    """The kernel around the interfaces: cgroups, contexts, RCU, CPUs.

    cpus : for percpu data. `cpu` is the one that runs; `freed` counts data freed.
    """

    def __init__(self, cpus: int = 4) -> None:
        self.cpus = cpus
        self.cpu = 0
        self.root = Cgroup("/", None)
        self.freed = 0
        self._interfaces: list[Any] = []
        self._sections = 0
        self._pinned = 0
        self._softirq = 0
        self._waiting: list[Callable[[], None]] = []

    # --- cgroups ---

    def mkdir(self, name: str, parent: Cgroup | None = None) -> Cgroup:
        """A new cgroup, below the root if no parent is given."""
        above = self.root if parent is None else parent
        if not above.online:
            raise Refused(f"mkdir {name}: {above.name} is removed")
        cgroup = Cgroup(name, above)
        above.children.append(cgroup)
        for interface in self._interfaces:
            interface._created(cgroup)
        return cgroup

    def rmdir(self, cgroup: Cgroup) -> None:
        """Remove a cgroup; what is attached to it is freed after a grace period."""
        if cgroup.children or cgroup.tasks or cgroup.parent is None:
            raise Refused(f"rmdir {cgroup.name}: it has children or tasks (-EBUSY)")
        if not cgroup.online:
            raise Refused(f"rmdir {cgroup.name}: it is removed (-ENOENT)")
        cgroup.online = False
        cgroup.parent.children.remove(cgroup)
        for interface in self._interfaces:
            interface._offline(cgroup)

    # --- contexts ---

    @contextmanager
    def read_section(self) -> Iterator[None]:
        """rcu_read_lock ... rcu_read_unlock."""
        self._sections += 1
        try:
            yield
        finally:
            self._sections -= 1
            self.grace_period()

    @contextmanager
    def migration_disabled(self) -> Iterator[None]:
        """migrate_disable ... migrate_enable."""
        self._pinned += 1
        try:
            yield
        finally:
            self._pinned -= 1

    @contextmanager
    def softirq(self) -> Iterator[None]:
        """An interrupt's work: nothing in it may sleep, and it does not migrate."""
        self._softirq += 1
        try:
            with self.migration_disabled():
                yield
        finally:
            self._softirq -= 1

    def migrate(self, cpu: int) -> None:
        """The scheduler moves what runs to another CPU."""
        if self._pinned:
            raise Refused(f"migrate to CPU {cpu}: migration is disabled")
        self.cpu = cpu

    def might_sleep(self, what: str) -> None:
        """Refuse to sleep where nothing may."""
        if self._softirq or self._sections:
            where = "softirq" if self._softirq else "an RCU read section"
            raise Refused(f"{what} sleeps, and this is {where}")

    def call_rcu(self, function: Callable[[], None]) -> None:
        """Run a function when all read sections of now have ended."""
        self._waiting.append(function)
        self.grace_period()

    def grace_period(self) -> None:
        """What waits for the end of sections, if there is none."""
        while self._waiting and not self._sections:
            self._waiting.pop(0)()


class Datum:
    """A datum in simulated memory: `datum[offset]` is its word of 8 bytes there."""

    def __init__(self, core: Core, native: Native, address: int, size: int, what: str) -> None:
        self._core, self._native = core, native
        self.address, self.size, self.what = address, size, what
        self.live = True

    def _at(self, offset: int) -> int:
        if not self.live:
            raise Refused(f"{self.what}: it is freed already")
        if not 0 <= offset <= self.size - 8 or offset % 8:
            raise Refused(f"{self.what}: bytes {offset}..{offset + 7} of {self.size}")
        return self.address + offset

    def __getitem__(self, offset: int) -> int:
        return int(peek(self._native, self._at(offset), 8))

    def __setitem__(self, offset: int, value: int) -> None:
        poke(self._native, self._at(offset), 8, value)


class Percpu:
    """A percpu datum: one copy for each CPU, reached by `this_cpu` only."""

    def __init__(self, core: Core, copies: list[Datum]) -> None:
        self._core, self.copies = core, copies
        self.what = copies[0].what

    def this_cpu(self) -> Datum:
        """The copy of the CPU that runs; migration must be disabled."""
        if not self._core._pinned:
            raise Refused(f"{self.what}: this_cpu needs migration disabled")
        return self.copies[self._core.cpu]

    def __getitem__(self, offset: int) -> int:
        raise Refused(f"{self.what}: it is a percpu pointer, not memory; use this_cpu()")

    def __setitem__(self, offset: int, value: int) -> None:
        self[offset]

    def sum(self, offset: int) -> int:
        """Over all possible CPUs."""
        return sum(copy[offset] for copy in self.copies)


class Store:
    """A design with its memory, and the data that an interface keeps in it.

    A datum of the design is `value_bytes` of memory; percpu data have their copies beside it.
    """

    def __init__(self, core: Core, design: str, value_bytes: int = 64) -> None:
        self.core, self.value_bytes = core, value_bytes
        self._design = get_design(design)
        self.heap = Heap(_MEMORY_BYTES, seed=1)
        kernel, most = load_kernel(), min(self._design.max_keys, _MOST_KEYS)
        self._parameters = self._design.new(self.heap, kernel, most)
        self.native = Native(self.heap.mem, self.heap.block)
        self._ask = compiled_for(ask, type(self._parameters))
        self._copies = self.heap.add_cache("percpu copy", value_bytes)
        self._cgroups: dict[Cgroup, int] = {}
        self.data: dict[tuple[Cgroup, int], Datum | Percpu] = {}

    def ask(self, what: int, cgroup: Cgroup | None = None, key: int = 0) -> int:
        """One operation of the design."""
        address = 0
        if cgroup is not None:
            if cgroup not in self._cgroups:
                created = self._ask(self.native, self._parameters, CREATE, 0, 0)
                self._cgroups[cgroup] = int(created)
            address = self._cgroups[cgroup]
        return int(self._ask(self.native, self._parameters, what, address, key))

    def key(self) -> int:
        """A new key, as the design gives them."""
        return self.ask(REGISTER)

    def put_in(self, cgroup: Cgroup, key: int, size: int, what: str, percpu: bool) -> Any:
        """A zeroed datum under a key."""
        if not 8 <= size <= self.value_bytes or size % 8:
            raise Refused(f"{what}: size {size}; allowed: a multiple of 8 up to {self.value_bytes}")
        address = self.ask(INSTALL, cgroup, key)
        if not address:
            raise Refused(f"{what}: no memory, or too many keys (-ENOMEM)")
        if percpu:
            copies = [
                Datum(
                    self.core,
                    self.native,
                    int(allocate(self.native, self._copies, 0)[0]),
                    size,
                    what,
                )
                for _ in range(self.core.cpus)
            ]
            for copy in copies:
                _clear(copy)
            datum: Datum | Percpu = Percpu(self.core, copies)
        else:
            datum = Datum(self.core, self.native, address, size, what)
            _clear(datum)
        self.data[cgroup, key] = datum
        return datum

    def look_up(self, cgroup: Cgroup, key: int) -> Any:
        """The datum that the structure finds, None if there is none."""
        if (cgroup, key) not in self.data:
            return None
        found = self.ask(LOOKUP, cgroup, key)
        if not found:
            return None
        self.ask(PUT, None, found)  # an interface counts its users itself
        return self.data[cgroup, key]

    def take_out(self, cgroup: Cgroup, key: int, free: Callable[[Any], None] | None) -> bool:
        """Unlink a datum; freed, once, when the sections of now have ended."""
        datum = self.data.pop((cgroup, key), None)
        if datum is None:
            return False
        self.ask(REMOVE, cgroup, key)

        def end() -> None:
            if free is not None:
                free(datum)
            for copy in datum.copies if isinstance(datum, Percpu) else [datum]:
                copy.live = False
                if isinstance(datum, Percpu):
                    release(self.native, self._copies, copy.address, 0)
            for cache in range(len(self.heap.caches)):
                grace_period(self.native, cache)
            self.core.freed += 1

        self.core.call_rcu(end)
        return True

    def forget(self, cgroup: Cgroup) -> None:
        """The cgroup's own memory goes, when the sections of now have ended."""
        if cgroup in self._cgroups:
            address = self._cgroups.pop(cgroup)
            teardown = self._ask, self.native, self._parameters
            self.core.call_rcu(lambda: teardown[0](*teardown[1:], TEARDOWN, address, 0))


def _clear(datum: Datum) -> None:
    for offset in range(0, datum.size, 8):
        datum[offset] = 0
