"""Two users, as their authors would write them with each interface.

The priority offset is i915's: an ioctl sets it for a cgroup, each submission adds it, and the
device can be unplugged. The packet counter counts in softirq, on every CPU, and is read now and
then.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from cgsim.interface.reference import (
    CgroupBuffer,
    CgroupPriv,
    KrefPriv,
    MapStorage,
    RegisteredType,
)
from cgsim.interface.world import Refused

if TYPE_CHECKING:
    from cgsim.interface.world import Cgroup, Core

MOST = 1023
"""I915_PRIORITY_MAX; the offset's range is -MOST..MOST."""


def _check(offset: int, permitted: bool) -> None:
    if not permitted:
        raise Refused("setparam: not permitted (-EPERM)")
    if not -MOST <= offset <= MOST:
        raise Refused(f"setparam: offset {offset}; allowed: -{MOST}..{MOST} (-EINVAL)")


class PrivOffset:
    """The priority offset with cgroup_priv of v3, mended."""

    interface = "cgroup-priv"

    def __init__(self, core: Core) -> None:
        self.core, self.priv, self.freed = core, CgroupPriv(core), 0
        self.device = self.priv.device()
        self.cgroups: list[Cgroup] = []

    def _free(self, datum: Any) -> None:
        self.freed += 1

    def setparam(self, cgroup: Cgroup, offset: int, permitted: bool = True) -> None:
        _check(offset, permitted)
        with self.core.read_section():
            datum = self.priv.lookup(cgroup, self.device)
        if datum is None:
            datum = self.priv.install(cgroup, self.device, 8, self._free)
            self.cgroups.append(cgroup)
        datum[0] = offset

    def at_submission(self, cgroup: Cgroup) -> int:
        with self.core.read_section():
            datum = self.priv.lookup(cgroup, self.device)
            return 0 if datum is None else _signed(datum[0])

    def unplug(self) -> None:
        for cgroup in self.cgroups:
            if cgroup.online:
                self.priv.free(cgroup, self.device)


class KrefOffset:
    """The priority offset with key and kref of v4, mended."""

    interface = "cgroup-priv-kref"

    def __init__(self, core: Core) -> None:
        self.priv, self.freed = KrefPriv(core), 0
        self.key = self.priv.createkey(self._free)

    def _free(self, datum: Any) -> None:
        self.freed += 1

    def setparam(self, cgroup: Cgroup, offset: int, permitted: bool = True) -> None:
        _check(offset, permitted)
        datum = self.priv.get(cgroup, self.key) or self.priv.install(cgroup, self.key, 8)
        datum[0] = offset
        datum.put()

    def at_submission(self, cgroup: Cgroup) -> int:
        datum = self.priv.get(cgroup, self.key)
        if datum is None:
            return 0
        offset = _signed(datum[0])
        datum.put()
        return offset

    def unplug(self) -> None:
        self.priv.destroykey(self.key)


class TypeOffset:
    """The priority offset as a registered type."""

    interface = "registered-type"

    def __init__(self, core: Core) -> None:
        self.core, self.freed = core, 0
        self.type = RegisteredType(core, "priority offset", size=8, free=self._free)

    def _free(self, datum: Any) -> None:
        self.freed += 1

    def setparam(self, cgroup: Cgroup, offset: int, permitted: bool = True) -> None:
        _check(offset, permitted)
        with self.core.read_section():
            self.type.of(cgroup)[0] = offset

    def at_submission(self, cgroup: Cgroup) -> int:
        with self.core.read_section():
            return _signed(self.type.of(cgroup)[0])

    def unplug(self) -> None:
        self.type.unregister()


class BufferOffset:
    """The priority offset as a program with bpf_get_cgroup_buf, run at each submission."""

    interface = "cgroup-buf"

    def __init__(self, core: Core) -> None:
        self.buffer = CgroupBuffer(core, "priority", size=8, offsets=(0,))
        self.cgroups: list[Cgroup] = []

    def setparam(self, cgroup: Cgroup, offset: int, permitted: bool = True) -> None:
        _check(offset, permitted)
        if cgroup not in self.cgroups:
            self.buffer.attach(cgroup)
            self.cgroups.append(cgroup)

        def program(data: Any) -> None:
            data[0] = offset

        self.buffer.run(cgroup, program)

    def at_submission(self, cgroup: Cgroup) -> int:
        found = []
        self.buffer.run(cgroup, lambda data: found.append(_signed(data[0])))
        return found[0] if found else 0

    def unplug(self) -> None:
        for cgroup in self.cgroups:
            if cgroup.online:
                self.buffer.detach(cgroup)


class MapOffset:
    """The priority offset in BPF map storage."""

    interface = "map-storage"

    def __init__(self, core: Core) -> None:
        self.core, self.map = core, MapStorage(core, size=8)

    def setparam(self, cgroup: Cgroup, offset: int, permitted: bool = True) -> None:
        _check(offset, permitted)
        with self.core.read_section():
            datum = self.map.get(cgroup, create=True)
            if datum is None:
                raise Refused(f"setparam: {cgroup.name} is dying (-ENODEV)")
            datum[0] = offset

    def at_submission(self, cgroup: Cgroup) -> int:
        with self.core.read_section():
            datum = self.map.get(cgroup)
            return 0 if datum is None else _signed(datum[0])

    def unplug(self) -> None:
        self.map.close()


class PrivCounter:
    """The packet counter with cgroup_priv of v3, mended: one word for all CPUs."""

    def __init__(self, core: Core) -> None:
        self.core, self.priv, self.freed = core, CgroupPriv(core), 0
        self.key = self.priv.device()

    def _free(self, datum: Any) -> None:
        self.freed += 1

    def watch(self, cgroup: Cgroup) -> None:
        self.priv.install(cgroup, self.key, 8, self._free)

    def packet(self, cgroup: Cgroup) -> None:
        with self.core.softirq(), self.core.read_section():
            datum = self.priv.lookup(cgroup, self.key)
            if datum is not None:
                datum[0] += 1  # atomic64_inc

    def total(self, cgroup: Cgroup) -> int:
        with self.core.read_section():
            datum = self.priv.lookup(cgroup, self.key)
            return 0 if datum is None else datum[0]


class KrefCounter:
    """The packet counter with key and kref of v4, mended: two more atomics a packet."""

    def __init__(self, core: Core) -> None:
        self.core, self.priv, self.freed = core, KrefPriv(core), 0
        self.key = self.priv.createkey(self._free)

    def _free(self, datum: Any) -> None:
        self.freed += 1

    def watch(self, cgroup: Cgroup) -> None:
        self.priv.install(cgroup, self.key, 8).put()

    def packet(self, cgroup: Cgroup) -> None:
        with self.core.softirq():
            datum = self.priv.get(cgroup, self.key)
            if datum is not None:
                datum[0] += 1  # atomic64_inc
                datum.put()

    def total(self, cgroup: Cgroup) -> int:
        datum = self.priv.get(cgroup, self.key)
        if datum is None:
            return 0
        total = datum[0]
        datum.put()
        return total


class TypeCounter:
    """The packet counter as a registered percpu type."""

    def __init__(self, core: Core) -> None:
        self.core, self.freed = core, 0
        self.type = RegisteredType(core, "packets", size=8, free=self._free, percpu=True)

    def _free(self, datum: Any) -> None:
        self.freed += 1

    def watch(self, cgroup: Cgroup) -> None:
        """Nothing to do: the core has made room in every cgroup."""

    def packet(self, cgroup: Cgroup) -> None:
        with self.core.softirq(), self.core.read_section():
            self.type.of(cgroup).this_cpu()[0] += 1

    def total(self, cgroup: Cgroup) -> int:
        with self.core.read_section():
            return int(self.type.of(cgroup).sum(0))


class BufferCounter:
    """The packet counter as a program with bpf_get_cgroup_buf."""

    def __init__(self, core: Core) -> None:
        self.buffer = CgroupBuffer(core, "count", size=8, offsets=(0,), percpu=True)

    def watch(self, cgroup: Cgroup) -> None:
        self.buffer.attach(cgroup)

    def packet(self, cgroup: Cgroup) -> None:
        def program(data: Any) -> None:
            data[0] += 1

        self.buffer.run(cgroup, program)

    def total(self, cgroup: Cgroup) -> int:
        return self.buffer.read(cgroup, 0)


class MapCounter:
    """The packet counter in percpu BPF map storage."""

    def __init__(self, core: Core) -> None:
        self.core, self.map = core, MapStorage(core, size=8, percpu=True)

    def watch(self, cgroup: Cgroup) -> None:
        """Nothing to do: the first packet makes room."""

    def packet(self, cgroup: Cgroup) -> None:
        with self.core.softirq(), self.core.read_section():
            datum = self.map.get(cgroup, create=True)
            if datum is not None:
                datum.this_cpu()[0] += 1

    def total(self, cgroup: Cgroup) -> int:
        with self.core.read_section():
            datum = self.map.get(cgroup)
            return 0 if datum is None else int(datum.sum(0))


def _signed(word: int) -> int:
    return (word + (1 << 63)) % (1 << 64) - (1 << 63)


OFFSETS = (PrivOffset, KrefOffset, TypeOffset, BufferOffset, MapOffset)
COUNTERS = (PrivCounter, KrefCounter, TypeCounter, BufferCounter, MapCounter)
"""The same two users with all five."""
