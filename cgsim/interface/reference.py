"""The five interfaces to program against: reference semantics on the simulated structures.

Each is used as a driver's author would use it in the kernel, and is an object of this module on top
of one of the designs: data lie in the simulated memory, lookups walk the real structure. A datum's
`free` runs exactly once, and a misuse is refused by an error that says what was wrong.

    core = Core()
    cgroup = core.mkdir("web")
    kind = RegisteredType(core, "offset", size=8)
    with core.read_section():
        kind.of(cgroup)[0] = 5
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from cgsim.interface.world import Core, Datum, Percpu, Refused, Store

if TYPE_CHECKING:
    from collections.abc import Callable

    from cgsim.interface.world import Cgroup


class _Interface:
    """What the core tells an interface."""

    def __init__(self, core: Core, design: str) -> None:
        self.core, self.store = core, Store(core, design)
        core._interfaces.append(self)

    def _created(self, cgroup: Cgroup) -> None:
        """A cgroup is new."""

    def _free_of(self, key: int) -> Callable[[Any], None] | None:
        """The callback of a key's owner."""
        return None

    def _offline(self, cgroup: Cgroup) -> None:
        """A cgroup is gone: so are its data."""
        for owner, key in list(self.store.data):
            if owner is cgroup:
                self.store.take_out(cgroup, key, self._free_of(key))
        self.store.forget(cgroup)

    def _require_online(self, cgroup: Cgroup, what: str) -> None:
        if not cgroup.online:
            raise Refused(f"{what}: {cgroup.name} is dying (-ENODEV)")


class CgroupPriv(_Interface):
    """cgroup_priv of v3, mended: a pointer key, `install`, `lookup` under RCU, `free`."""

    def __init__(self, core: Core) -> None:
        super().__init__(core, "hash-rcu")
        self._free: dict[int, Callable[[Any], None]] = {}

    def device(self) -> int:
        """An address to be used as a key, as that of a device's struct."""
        return self.store.key()

    def install(self, cgroup: Cgroup, key: int, size: int, free: Callable[[Any], None]) -> Datum:
        """A datum under a key; `free` runs when it, or its cgroup, has gone."""
        self._require_online(cgroup, "install")
        if (cgroup, key) in self.store.data:
            raise Refused(f"install: key {key:#x} has a datum in {cgroup.name} already (-EEXIST)")
        self._free[key] = free
        what = f"cgroup_priv of {cgroup.name}"
        datum: Datum = self.store.put_in(cgroup, key, size, what, False)
        return datum

    def lookup(self, cgroup: Cgroup, key: int) -> Datum | None:
        """The datum, None if there is none; within a read section."""
        if not self.core._sections:
            raise Refused("lookup: not within rcu_read_lock")
        found: Datum | None = self.store.look_up(cgroup, key)
        return found

    def free(self, cgroup: Cgroup, key: int) -> None:
        """Remove the key's datum, and nobody else's."""
        self.core.might_sleep("cgroup_priv_free")
        if not self.store.take_out(cgroup, key, self._free.get(key)):
            raise Refused(f"free: key {key:#x} has no datum in {cgroup.name} (-ENOENT)")

    def _free_of(self, key: int) -> Callable[[Any], None] | None:
        return self._free.get(key)


class Reference:
    """A datum with a reference that is given back once."""

    def __init__(self, datum: Datum, put: Callable[[], None]) -> None:
        self.datum, self._put, self.held = datum, put, True

    def __getitem__(self, offset: int) -> int:
        return self._own()[offset]

    def __setitem__(self, offset: int, value: int) -> None:
        self._own()[offset] = value

    def _own(self) -> Datum:
        if not self.held:
            raise Refused(f"{self.datum.what}: used after its put")
        return self.datum

    def put(self) -> None:
        """kref_put."""
        if not self.held:
            raise Refused(f"{self.datum.what}: put twice")
        self.held = False
        self._put()


class KrefPriv(_Interface):
    """cgroup_priv of v4, mended: integer keys from 1, a reference for every lookup."""

    def __init__(self, core: Core) -> None:
        super().__init__(core, "v4")
        self.store.key()  # 0 is no key: users take it for "none"
        self._free: dict[int, Callable[[Any], None]] = {}
        self._held: dict[Datum, int] = {}
        self._gone: dict[Datum, Callable[[], None]] = {}

    def createkey(self, free: Callable[[Any], None]) -> int:
        """A key, 1 or more; `free` runs once for each of its data."""
        key = self.store.key()
        self._free[key] = free
        return key

    def install(self, cgroup: Cgroup, key: int, size: int) -> Reference:
        """A datum under a key, with a reference for the caller."""
        self._require_online(cgroup, "install")
        self._require_key(key)
        if (cgroup, key) in self.store.data:
            raise Refused(f"install: key {key} has a datum in {cgroup.name} already (-EEXIST)")
        return self._refer(
            self.store.put_in(cgroup, key, size, f"key {key} of {cgroup.name}", False)
        )

    def get(self, cgroup: Cgroup, key: int) -> Reference | None:
        """The datum with a reference, which its user gives back; None if there is none."""
        self._require_key(key)
        datum = self.store.look_up(cgroup, key)
        return None if datum is None else self._refer(datum)

    def destroykey(self, key: int) -> None:
        """Remove the key's data from every cgroup; refused while references to them are out."""
        self._require_key(key)
        out = [datum.what for datum, held in self._held.items() if held]
        if out:
            raise Refused(f"destroykey: references are out: {', '.join(out)}")
        for owner, other in list(self.store.data):
            if other == key:
                self.store.take_out(owner, key, self._free[key])
        del self._free[key]

    def _require_key(self, key: int) -> None:
        if key not in self._free:
            raise Refused(f"key {key} is not a key; allowed: {sorted(self._free)}")

    def _refer(self, datum: Datum) -> Reference:
        self._held[datum] = self._held.get(datum, 0) + 1
        return Reference(datum, lambda: self._unrefer(datum))

    def _unrefer(self, datum: Datum) -> None:
        self._held[datum] -= 1
        if not self._held[datum]:
            del self._held[datum]
            last = self._gone.pop(datum, None)
            if last is not None:
                last()

    def _offline(self, cgroup: Cgroup) -> None:
        for owner, key in list(self.store.data):
            if owner is cgroup:
                self._drop(cgroup, key)
        self._forget_if_empty(cgroup)

    def _drop(self, cgroup: Cgroup, key: int) -> None:
        """Free a datum now, or when its last user puts it."""
        datum: Any = self.store.data[cgroup, key]
        free = self._free[key]

        def end() -> None:
            self.store.take_out(cgroup, key, free)
            self._forget_if_empty(cgroup)

        if datum in self._held:
            self._gone[datum] = end
        else:
            end()

    def _forget_if_empty(self, cgroup: Cgroup) -> None:
        if not cgroup.online and not any(owner is cgroup for owner, _ in self.store.data):
            self.store.forget(cgroup)


class RegisteredType(_Interface):
    """A registered type: the core allocates a datum of it for each cgroup, behind an id.

    size : bytes. init, free : called for each datum, once. percpu : a copy for each CPU.
    """

    def __init__(
        self,
        core: Core,
        name: str,
        *,
        size: int,
        init: Callable[[Any], None] | None = None,
        free: Callable[[Any], None] | None = None,
        percpu: bool = False,
    ) -> None:
        super().__init__(core, "table")
        self.name, self.size, self.percpu = name, size, percpu
        self._init, self._free = init, free
        self.id = self.store.key()
        self.registered = True
        for cgroup in core.root.below():
            self._created(cgroup)

    def of(self, cgroup: Cgroup) -> Any:
        """The cgroup's datum; within a read section."""
        if not self.registered:
            raise Refused(f"type {self.name} is not registered")
        if not self.core._sections:
            raise Refused(f"type {self.name}: not within rcu_read_lock")
        return self.store.look_up(cgroup, self.id)

    def unregister(self) -> None:
        """Free its data in every cgroup, and wait until that is done."""
        if not self.registered:
            raise Refused(f"type {self.name} is not registered")
        self.core.might_sleep("unregister")
        self.registered = False
        self.core._interfaces.remove(self)
        for owner, key in list(self.store.data):
            self.store.take_out(owner, key, self._free)

    def _created(self, cgroup: Cgroup) -> None:
        what = f"{self.name} of {cgroup.name}"
        datum = self.store.put_in(cgroup, self.id, self.size, what, self.percpu)
        if self._init is not None:
            self._init(datum)

    def _free_of(self, key: int) -> Callable[[Any], None] | None:
        return self._free


class MapStorage(_Interface):
    """BPF map storage: a datum for a cgroup is made at its first use, zeroed."""

    def __init__(self, core: Core, *, size: int, percpu: bool = False) -> None:
        super().__init__(core, "storage")
        self.size, self.percpu, self.open = size, percpu, True
        self._map = self.store.key()

    def get(self, cgroup: Cgroup, *, create: bool = False) -> Any:
        """The datum, None if there is none and none may be made; within a program's run."""
        if not self.open:
            raise Refused("the map is closed (-EBADF)")
        if not self.core._sections:
            raise Refused("get: the helper needs an RCU read section")
        datum = self.store.look_up(cgroup, self._map)
        if datum is None and create and cgroup.online:
            what = f"map value of {cgroup.name}"
            datum = self.store.put_in(cgroup, self._map, self.size, what, self.percpu)
        return datum

    def delete(self, cgroup: Cgroup) -> None:
        """Remove a cgroup's datum."""
        if not self.store.take_out(cgroup, self._map, None):
            raise Refused(f"delete: no value for {cgroup.name} (-ENOENT)")

    def close(self) -> None:
        """The last user of the map is gone: so are its data."""
        if not self.open:
            raise Refused("the map is closed (-EBADF)")
        self.open = False
        self.core._interfaces.remove(self)
        for owner, key in list(self.store.data):
            self.store.take_out(owner, key, None)


class CgroupBuffer(_Interface):
    """bpf_get_cgroup_buf: memory for an attached program, sized by the verifier.

    name : of the program. size : sizeof of what it asks for. offsets : of the words that it
    touches, which the verifier checks when it is loaded. percpu : a copy for each CPU.
    """

    def __init__(
        self, core: Core, name: str, *, size: int, offsets: tuple[int, ...], percpu: bool = False
    ) -> None:
        for offset in offsets:
            if not 0 <= offset <= size - 8 or offset % 8:
                touched = f"bytes {offset}..{offset + 7} of {size}"
                raise Refused(f"program {name}: refused by the verifier: {touched}")
        super().__init__(core, "cgroup-storage")
        self.name, self.size, self.percpu = name, size, percpu
        self._key = self.store.key()

    def attach(self, cgroup: Cgroup) -> None:
        """Memory for a cgroup; the program runs for it from now on."""
        self._require_online(cgroup, f"attach {self.name}")
        if (cgroup, self._key) in self.store.data:
            raise Refused(f"attach {self.name}: it is attached to {cgroup.name} already (-EEXIST)")
        what = f"buffer of {self.name} in {cgroup.name}"
        self.store.put_in(cgroup, self._key, self.size, what, self.percpu)

    def run(self, cgroup: Cgroup, program: Callable[[Any], None]) -> bool:
        """The dispatcher runs the program for a packet; False: it is not attached there."""
        with self.core.softirq(), self.core.read_section():
            datum = self.store.look_up(cgroup, self._key)
            if datum is None:
                return False
            program(datum.this_cpu() if self.percpu else datum)
            return True

    def read(self, cgroup: Cgroup, offset: int) -> int:
        """What user space reads of it."""
        datum = self.store.data.get((cgroup, self._key))
        if datum is None:
            raise Refused(f"read {self.name}: it is not attached to {cgroup.name} (-ENOENT)")
        return datum.sum(offset) if isinstance(datum, Percpu) else datum[offset]

    def detach(self, cgroup: Cgroup) -> None:
        """The program runs no more for a cgroup; its memory goes after a grace period."""
        if not self.store.take_out(cgroup, self._key, None):
            raise Refused(f"detach {self.name}: it is not attached to {cgroup.name} (-ENOENT)")
