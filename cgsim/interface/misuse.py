"""What each design answers to its users' mistakes, found by making them: `cgsim misuse`.

A mistake is played on a small population in the native reading (locks: in the traced one), and what
comes of it is read off the answers, the memory and what locks did. Mistakes with an interface are
of `cgsim.interface.catalogue`.

===================  ===============================================================================
install twice        a key is installed that is there already
remove a neighbour   some keys are removed and installed again: are the others still found?
use after remove     a reader keeps the datum while another removes it and a third installs
key of a dead device a driver goes and leaves its data; a new one gets its key
ask for nothing      a key is looked up that was never installed
remove for nothing   a key is removed that was never installed
look up in softirq   an interrupt looks up while the task it interrupted is in a lookup of its own
get during the       a lookup has found a datum, whose last reference is dropped before it gets one
last put
first key            is the first key 0, which users take for "no key"?
===================  ===============================================================================
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, NamedTuple

import pandas as pd

from cgsim.core import traced
from cgsim.core.heap import Heap, grace_period, release
from cgsim.core.host_memory import address_of
from cgsim.core.locks import SLEEPS, SPINS
from cgsim.core.space import Native, Traced, peek, poke
from cgsim.designs import list_designs
from cgsim.designs.base import Design, get_design, keep_no_reference
from cgsim.designs.pointer_hash import AS_POSTED
from cgsim.errors import unknown_name
from cgsim.kernel import kernel_versions, load_kernel
from cgsim.stage.ask import CREATE, DROP, INSTALL, LOOKUP, PUT, REGISTER, REMOVE, TEARDOWN, ask
from cgsim.stage.loops import compiled_for

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

HARMS = ("none", "surprise", "leak", "cannot run", "wrong answer", "use after free")
"""From nothing to the worst. surprise: an answer that is defined by accident only."""

_MEMORY_BYTES = 1 << 27
_KEYS = 40
_MARK, _OTHER_MARK = 0x1111, 0x2222


class Outcome(NamedTuple):
    """What came of a mistake: of `HARMS`, and in words."""

    harm: str
    what_happened: str


class _Bench:
    """A design with a cgroup and some keys."""

    def __init__(self, design: Design, keys: int, kernel: str = "7.3.4") -> None:
        self.design = design
        self.heap = Heap(_MEMORY_BYTES, seed=1)
        facts = load_kernel(kernel)
        self.parameters = design.new(self.heap, facts, min(design.max_keys, _KEYS))
        self.native = Native(self.heap.mem, self.heap.block)
        self.operate = compiled_for(ask, type(self.parameters))
        self.installed: set[int] = set()
        count = min(keys, design.max_keys)
        self.keys = [self.ask(REGISTER, 0, 0) for _ in range(count)]
        self.before = self.live_bytes()
        self.cgroup = self.ask(CREATE, 0, 0)

    def ask(self, what: int, cgroup: int, key: int, space: Any = None) -> int:
        """One operation's answer."""
        where = self.native if space is None else space
        return int(self.operate(where, self.parameters, what, cgroup, key))

    def install(self, key: int, mark: int) -> int:
        """Install a datum whose first word is `mark`."""
        datum = self.ask(INSTALL, self.cgroup, key)
        self.installed.add(key)
        if datum:
            poke(self.native, datum, 8, mark)
        return datum

    def look_up(self, key: int) -> int:
        """The datum of a key, 0 if none is found; a reference that came with it is given back."""
        datum = self.ask(LOOKUP, self.cgroup, key)
        if datum and (self.design.checks_presence or key in self.installed):
            self.ask(PUT, 0, datum)
        return datum

    def mark(self, datum: int) -> int:
        """The first word of a datum."""
        return int(peek(self.native, datum, 8))

    def remove(self, key: int) -> bool:
        """Whether remove says that the key was there."""
        return self.ask(REMOVE, self.cgroup, key) != 0

    def end_grace(self) -> None:
        """A grace period ends."""
        for cache in range(len(self.heap.caches)):
            grace_period(self.native, cache)

    def live_bytes(self) -> int:
        """Bytes allocated."""
        return sum(self.heap.live(i) * c.stride_bytes for i, c in enumerate(self.heap.caches))

    def leaked(self) -> int:
        """Bytes that stay when the cgroup is gone."""
        self.ask(TEARDOWN, self.cgroup, 0)
        self.end_grace()
        return self.live_bytes() - self.before


def _named(mark: int, datum: int) -> str:
    if datum == 0:
        return "nothing"
    return {_MARK: "the first", _OTHER_MARK: "the second"}.get(mark, "something else")


def _install_twice(design: Design) -> Outcome:
    bench = _Bench(design, 2)
    key = bench.keys[0]
    bench.install(key, _MARK)
    second = bench.install(key, _OTHER_MARK)
    found = bench.look_up(key)
    finds = _named(bench.mark(found), found) if found else "nothing"
    bench.remove(key)
    bench.end_grace()
    left = bench.look_up(key) if design.checks_presence else 0
    after = _named(bench.mark(left), left) if left else "nothing"
    leaked = bench.leaked()
    text = f"{'refused' if second == 0 else 'taken'}; lookup finds {finds}"
    if design.checks_presence:
        text += f"; after one remove {after}"
    if leaked:
        return Outcome("leak", f"{text}; {leaked} bytes never freed")
    return Outcome("surprise" if left else "none", text)


def _remove_a_neighbour(design: Design) -> Outcome:
    bench = _Bench(design, _KEYS)
    for key in bench.keys:
        bench.install(key, key & 0xFFFF)
    going = bench.keys[::5]
    for key in going:
        bench.remove(key)
        bench.install(key, key & 0xFFFF)
    staying = [key for key in bench.keys if key not in going]
    lost = sum(bench.look_up(key) == 0 for key in staying)
    leaked = bench.leaked()
    if lost:
        return Outcome(
            "wrong answer",
            f"{lost} of {len(staying)} keys that nobody removed are gone, {leaked} bytes with them",
        )
    return Outcome("none", f"all {len(staying)} others are found")


def _use_after_remove(design: Design) -> Outcome:
    """Without protection nothing keeps the grace period from ending while the datum is in use."""
    bench = _Bench(design, 2)
    mine, other = bench.keys
    bench.install(mine, _MARK)
    datum = bench.look_up(mine)
    bench.remove(mine)
    kept = bench.mark(datum) == _MARK
    bench.end_grace()
    bench.install(other, _OTHER_MARK)
    if bench.look_up(other) != datum:
        changed = "still there" if bench.mark(datum) == _MARK else "cleared"
        return Outcome("none", f"the memory stays the cgroup's; what was in it is {changed}")
    if design.put is not keep_no_reference:
        kept = _holds_with_reference(design)
        held = "with the lookup's reference"
    elif design.reader_side == "mutex":
        return Outcome(
            "use after free",
            "without protection the reader writes into another key's datum; with the mutex held "
            "over the use nobody can remove",
        )
    else:
        held = "under rcu_read_lock" if design.reader_side == "rcu" else "while the program runs"
    return Outcome(
        "use after free",
        f"without protection the reader writes into another key's datum; {held} it is "
        f"{'intact' if kept else 'gone too'}",
    )


def _holds_with_reference(design: Design) -> bool:
    """Whether a datum outlives its removal and a grace period while a reference is held."""
    bench = _Bench(design, 2)
    mine, other = bench.keys
    bench.install(mine, _MARK)
    datum = bench.ask(LOOKUP, bench.cgroup, mine)
    bench.remove(mine)
    bench.end_grace()
    bench.install(other, _OTHER_MARK)
    return bench.look_up(other) != datum and bench.mark(datum) == _MARK


def _key_of_a_dead_device(design: Design) -> Outcome:
    """Keys are addresses, that slab gives again, or ids, of which an ida gives the lowest free."""
    bench = _Bench(design, 1)
    old = new = bench.keys[0]
    bench.install(old, _MARK)
    if design.keeps_list and not design.drop_options:
        # what the interface itself does when a key goes, and frees it
        bench.ask(DROP, 0, old)
        bench.end_grace()
        new = bench.ask(REGISTER, 0, 0)
    elif hasattr(bench.parameters, "map_cache"):
        bench.remove(old)  # freeing a map frees its elements
        release(bench.native, bench.parameters.map_cache, old, 0)
        new = bench.ask(REGISTER, 0, 0)
    elif hasattr(bench.parameters, "device_cache"):
        release(bench.native, bench.parameters.device_cache, old, 0)
        new = bench.ask(REGISTER, 0, 0)
    found = bench.look_up(new)
    same = "id" if new == bench.keys[0] and not new >> 12 else "address"
    if found and bench.mark(found) == _MARK:
        return Outcome("wrong answer", f"the new one has the old one's {same}, and finds its data")
    return Outcome("none", "the old data went with it" if new == old else "the key is another one")


def _ask_for_nothing(design: Design) -> Outcome:
    bench = _Bench(design, 2)
    found = bench.look_up(bench.keys[1])
    if found == 0:
        return Outcome("none", "NULL")
    return Outcome("wrong answer", f"the address {found:#x}, where no datum is")


def _remove_for_nothing(design: Design) -> Outcome:
    bench = _Bench(design, 2)
    bench.install(bench.keys[0], _MARK)
    said = bench.remove(bench.keys[1])
    found = bench.look_up(bench.keys[0])
    if found == 0 or bench.mark(found) != _MARK:
        return Outcome("wrong answer", "the other key's datum is gone")
    return Outcome("surprise", "says that it was there") if said else Outcome("none", "says no")


_KERNELS = tuple(reversed(kernel_versions()))


def _look_up_in_softirq(design: Design) -> Outcome:
    """The interrupt comes while what a lookup takes and gives back is taken.

    Those are the words that a lookup changes by a read-modify-write and leaves as they were: locks,
    owners of mutexes, counters of who is inside.
    """
    verdicts = [_interrupted_lookup(design, kernel) for kernel in _KERNELS]
    harm = max((verdict.harm for verdict in verdicts), key=HARMS.index)
    texts = {verdict.what_happened for verdict in verdicts}
    if len(texts) == 1:
        return Outcome(harm, texts.pop())
    named = [f"{k}: {v.what_happened}" for k, v in zip(_KERNELS, verdicts, strict=True)]
    return Outcome(harm, "; ".join(named))


def _interrupted_lookup(design: Design, kernel: str) -> Outcome:
    bench = _Bench(design, 1, kernel)
    key = bench.keys[0]
    bench.install(key, _MARK)
    bench.look_up(key)  # what the first one leaves in a cache is there
    log = traced.new_log(4096)
    space = Traced(bench.heap.mem, bench.heap.block, address_of(log))
    bench.ask(LOOKUP, bench.cgroup, key, space)
    accesses = traced.parse(log).accesses
    changed = {(a.address, a.size) for a in accesses if a.operation.startswith("RMW")}
    before = {word: int(peek(bench.native, *word)) for word in changed}
    locked = [a.address for a in accesses if a.operation == "RMW!"]
    bench.ask(LOOKUP, bench.cgroup, key)
    given_back = [word for word in changed if int(peek(bench.native, *word)) == before[word]]
    for address, size in given_back:
        poke(bench.native, address, size, before[address, size] + 1)
    traced.clear(log)
    found = bench.ask(LOOKUP, bench.cgroup, key, space)
    structs = {bench.heap.caches[bench.heap.resolve(word)[0]].struct for word in locked}
    where = f"locked instructions on {', '.join(sorted(structs))}: {len(locked)}"
    if traced.noted(log) == SLEEPS:
        return Outcome("cannot run", f"it sleeps for the mutex of the task it interrupted; {where}")
    if traced.noted(log) == SPINS:
        return Outcome("cannot run", f"it spins for ever on the lock of that task; {where}")
    if found == 0:
        return Outcome("wrong answer", "NULL, though the datum is there: busy with the task's own")
    return Outcome("none", f"runs; {where}" if locked else "runs; no locked instruction")


def _get_during_the_last_put(design: Design) -> Outcome:
    """The last reference goes between a lookup's find and its get: the count is 0 by then."""
    if design.put is keep_no_reference:
        return Outcome("none", "takes no reference")
    bench = _Bench(design, 1)
    key = bench.keys[0]
    datum = bench.install(key, _MARK)
    bench.ask(PUT, 0, datum)  # as remove does, which unlinked it after the lookup had found it
    found = bench.ask(LOOKUP, bench.cgroup, key)
    if found == 0:
        return Outcome("none", "NULL: a count of 0 is not raised")
    bench.end_grace()
    return Outcome("use after free", "a reference to freed memory: 0 was raised to 1")


def _first_key(design: Design) -> Outcome:
    bench = _Bench(design, 1)
    if bench.keys[0] == 0:
        return Outcome("surprise", "the first key is 0: a test for 'no key' refuses it")
    return Outcome("none", "1" if bench.keys[0] == 1 else "not 0")


@dataclass(frozen=True)
class Misuse:
    """One mistake, how to make it, and how many keys that takes."""

    name: str
    make: Callable[[Design], Outcome]
    keys: int = 1


MISUSES = (
    Misuse("install twice", _install_twice, keys=2),
    Misuse("remove a neighbour", _remove_a_neighbour, keys=2),
    Misuse("use after remove", _use_after_remove, keys=2),
    Misuse("key of a dead device", _key_of_a_dead_device),
    Misuse("ask for nothing", _ask_for_nothing, keys=2),
    Misuse("remove for nothing", _remove_for_nothing, keys=2),
    Misuse("look up in softirq", _look_up_in_softirq),
    Misuse("get during the last put", _get_during_the_last_put),
    Misuse("first key", _first_key),
)


def misuse(designs: Sequence[str | Design] = (), misuses: Sequence[str] = ()) -> pd.DataFrame:
    """Make each mistake with each design.

    Parameters
    ----------
    designs : names or `Design`s; none: all, and the 2018 code as posted ("hash-as-posted")
    misuses : names of `MISUSES`; none: all

    Returns
    -------
    DataFrame, one row per design and mistake: design, misuse, harm (of `HARMS`), what_happened. A
    design that holds too few keys for a mistake has no row for it.

    Raises UserError for an unknown name.
    """
    known = {misuse.name: misuse for misuse in MISUSES}
    for name in misuses:
        if name not in known:
            raise unknown_name("misuse", name, known)
    chosen = [_design(given) for given in designs] or [AS_POSTED, *list_designs()]
    return pd.DataFrame(
        [
            {"design": design.name, "misuse": name, **known[name].make(design)._asdict()}
            for design in chosen
            for name in misuses or known
            if design.max_keys >= known[name].keys
        ]
    )


def _design(given: str | Design) -> Design:
    if not isinstance(given, str):
        return given
    return AS_POSTED if given == AS_POSTED.name else get_design(given)


def worst(frame: pd.DataFrame) -> pd.Series:
    """The worst harm of each design."""
    order = pd.CategoricalDtype(list(HARMS), ordered=True)
    harms = frame["harm"].astype(order)
    return harms.groupby(frame["design"], sort=False).max()
