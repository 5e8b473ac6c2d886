"""The reference semantics: two users with all five, data freed once, misuse refused by name."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest

from cgsim.interface.catalogue import COLUMNS
from cgsim.interface.reference import (
    CgroupBuffer,
    CgroupPriv,
    KrefPriv,
    MapStorage,
    RegisteredType,
)
from cgsim.interface.users import COUNTERS, OFFSETS
from cgsim.interface.world import Core, Refused


def test_each_proposed_interface_is_programmed_against() -> None:
    """The label that the page gives a user is the interface's name in the matrix."""
    mended = [name for name in COLUMNS if not name.endswith("-as-posted")]
    assert [user.interface for user in OFFSETS] == mended


@pytest.mark.parametrize("user", OFFSETS)
def test_priority_offset(user: Any) -> None:
    """Set, read, changed; another cgroup's is its own; all gone with the cgroup and the device."""
    core = Core()
    web, batch = core.mkdir("web"), core.mkdir("batch")
    offset = user(core)
    assert offset.at_submission(web) == 0
    offset.setparam(web, -5)
    assert offset.at_submission(web) == -5
    offset.setparam(batch, 7)
    offset.setparam(web, 100)
    assert (offset.at_submission(web), offset.at_submission(batch)) == (100, 7)
    with pytest.raises(Refused, match="EPERM"):
        offset.setparam(web, 1, permitted=False)
    with pytest.raises(Refused, match=r"allowed: -1023\.\.1023"):
        offset.setparam(web, 5000)
    assert offset.at_submission(web) == 100
    core.rmdir(web)
    gone = core.freed
    assert gone == 1
    offset.unplug()
    live = 2 if user.__name__ == "TypeOffset" else 1  # the root has one of a registered type
    assert core.freed == gone + live
    if hasattr(offset, "freed"):
        assert offset.freed == core.freed


@pytest.mark.parametrize("user", COUNTERS)
def test_packet_counter(user: Any) -> None:
    """Packets on all CPUs are counted for their cgroup alone."""
    core = Core(cpus=3)
    web, batch = core.mkdir("web"), core.mkdir("batch")
    counter = user(core)
    for cgroup in (web, batch):
        counter.watch(cgroup)
    for packet in range(7):
        core.migrate(packet % 3)
        counter.packet(web)
    counter.packet(batch)
    assert (counter.total(web), counter.total(batch)) == (7, 1)
    core.rmdir(web)
    core.rmdir(batch)
    assert core.freed == 2


@pytest.mark.parametrize("user", OFFSETS)
def test_freed_after_the_section(user: Any) -> None:
    """rmdir within somebody's read section: the datum is freed when that ends, once."""
    core = Core()
    web = core.mkdir("web")
    offset = user(core)
    offset.setparam(web, 3)
    with core.read_section():
        core.rmdir(web)
        assert core.freed == 0
    assert core.freed == 1


def test_a_new_cgroup_has_registered_data() -> None:
    core = Core()
    started = []
    kind = RegisteredType(core, "x", size=16, init=lambda d: started.append(d.what))
    web = core.mkdir("web")
    with core.read_section():
        kind.of(web)[8] = 9
        assert kind.of(web)[8] == 9
    assert started == ["x of /", "x of web"]


def test_kref_outlives_its_cgroup() -> None:
    """A reference keeps the datum; the last put frees it."""
    core = Core()
    web = core.mkdir("web")
    freed: list[Any] = []
    priv = KrefPriv(core)
    key = priv.createkey(freed.append)
    held = priv.install(web, key, 8)
    held[0] = 4
    core.rmdir(web)
    assert held[0] == 4
    assert not freed
    held.put()
    assert len(freed) == 1
    priv.destroykey(key)


def _v3(core: Core) -> tuple[CgroupPriv, int]:
    priv = CgroupPriv(core)
    return priv, priv.device()


def _install_twice(core: Core) -> None:
    priv, key = _v3(core)
    web = core.mkdir("web")
    priv.install(web, key, 8, print)
    priv.install(web, key, 8, print)


def _outside_section(core: Core) -> None:
    priv, key = _v3(core)
    priv.lookup(core.root, key)


def _free_in_softirq(core: Core) -> None:
    priv, key = _v3(core)
    with core.softirq():
        priv.free(core.root, key)


def _free_nothing(core: Core) -> None:
    priv, key = _v3(core)
    priv.free(core.root, key)


def _install_on_dying(core: Core) -> None:
    priv, key = _v3(core)
    web = core.mkdir("web")
    core.rmdir(web)
    priv.install(web, key, 8, print)


def _kept_pointer(core: Core) -> None:
    priv, key = _v3(core)
    datum = priv.install(core.root, key, 8, lambda datum: None)
    priv.free(core.root, key)
    datum[0]


def _put_twice(core: Core) -> None:
    priv = KrefPriv(core)
    held = priv.install(core.root, priv.createkey(print), 8)
    held.put()
    held.put()


def _used_after_put(core: Core) -> None:
    priv = KrefPriv(core)
    held = priv.install(core.root, priv.createkey(print), 8)
    held.put()
    held[0] = 1


def _error_as_key(core: Core) -> None:
    KrefPriv(core).get(core.root, -12)


def _destroy_in_use(core: Core) -> None:
    priv = KrefPriv(core)
    key = priv.createkey(print)
    priv.install(core.root, key, 8)
    priv.destroykey(key)


def _wrong_size(core: Core) -> None:
    kind = RegisteredType(core, "x", size=8)
    with core.read_section():
        kind.of(core.root)[8] = 1


def _percpu_as_regular(core: Core) -> None:
    kind = RegisteredType(core, "x", size=8, percpu=True)
    with core.read_section():
        kind.of(core.root)[0] = 1


def _percpu_and_migrate(core: Core) -> None:
    kind = RegisteredType(core, "x", size=8, percpu=True)
    with core.read_section():
        kind.of(core.root).this_cpu()


def _unregister_twice(core: Core) -> None:
    kind = RegisteredType(core, "x", size=8)
    kind.unregister()
    kind.unregister()


def _unregister_in_section(core: Core) -> None:
    kind = RegisteredType(core, "x", size=8)
    with core.read_section():
        kind.unregister()


def _outside_buffer(core: Core) -> None:
    CgroupBuffer(core, "p", size=8, offsets=(0, 8))


def _attach_twice(core: Core) -> None:
    buffer = CgroupBuffer(core, "p", size=8, offsets=(0,))
    buffer.attach(core.root)
    buffer.attach(core.root)


def _closed_map(core: Core) -> None:
    storage = MapStorage(core, size=8)
    storage.close()
    with core.read_section():
        storage.get(core.root)


def _rmdir_busy(core: Core) -> None:
    web = core.mkdir("web")
    core.mkdir("below", web)
    core.rmdir(web)


@pytest.mark.parametrize(
    ("misuse", "message"),
    [
        (_install_twice, "already .-EEXIST"),
        (_outside_section, "not within rcu_read_lock"),
        (_free_in_softirq, "sleeps, and this is softirq"),
        (_free_nothing, "has no datum in / .-ENOENT"),
        (_install_on_dying, "web is dying"),
        (_kept_pointer, "freed already"),
        (_put_twice, "put twice"),
        (_used_after_put, "used after its put"),
        (_error_as_key, "-12 is not a key"),
        (_destroy_in_use, "references are out"),
        (_wrong_size, "bytes 8..15 of 8"),
        (_percpu_as_regular, "percpu pointer"),
        (_percpu_and_migrate, "migration disabled"),
        (_unregister_twice, "is not registered"),
        (_unregister_in_section, "sleeps"),
        (_outside_buffer, "refused by the verifier"),
        (_attach_twice, "attached to / already"),
        (_closed_map, "EBADF"),
        (_rmdir_busy, "EBUSY"),
    ],
)
def test_misuse_is_refused(misuse: Callable[[Core], None], message: str) -> None:
    with pytest.raises(Refused, match=message):
        misuse(Core())
