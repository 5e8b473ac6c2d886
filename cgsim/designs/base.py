"""What a design is, and how the engine reaches it.

A design file defines a NamedTuple of parameters for numba and seven functions of one shape. The
generic functions here dispatch on the type of that NamedTuple, so drivers are written once.

===========  ===================================================================================
prepare      (heap, kernel, **options) -> parameters; adds the slab caches (Python, once)
register     (space, design) -> key: what a driver gets when it registers
create       (space, design) -> cgroup, the object lookups start from
insert       (space, design, cgroup, key, token) -> datum, 0 if it cannot be had
lookup       (space, design, cgroup, key, token, key_token) -> (datum, token), 0 if absent
remove       (space, design, cgroup, key, token) -> True if it was there
teardown     (space, design, cgroup, token): the cgroup goes with all its entries
===========  ===================================================================================

Where a lookup takes a reference, an eighth one, `put` (space, design, datum, token), gives it back;
users call it when they are done with a datum, and nothing happens in the other designs. Where the
owner of a key has a list of its data, a ninth one, `drop` (space, design, key, token) -> how many,
takes them all away when the owner goes; in the other designs that is a walk over all cgroups.

All addresses are simulated ones. The parameters must have the fields of `COMMON_FIELDS`.
"""

from __future__ import annotations

import inspect
from dataclasses import dataclass, field
from html import escape
from typing import TYPE_CHECKING, Any

from numba.extending import overload

from cgsim.compile.jit import JIT_DISABLED, PART, njit
from cgsim.errors import UserError, unknown_name

if TYPE_CHECKING:
    from collections.abc import Callable

    from cgsim.core.heap import Heap
    from cgsim.kernel import Kernel

COMMON_FIELDS = ("datum_offset", "value_cache")
"""Offset of the private data in a datum; the cache that holds it, for memory accounts."""


@njit
def keep_no_reference(space, design, datum, token):
    """The `put` of designs whose lookup takes no reference."""


@njit
def keep_no_list(space, design, key, token):
    """The `drop` of designs whose keys have no list of their data: nobody is found."""
    return 0


@dataclass(frozen=True)
class Design:
    """One lookup design. `mirrors`: the kernel code it is; `options`: what `prepare` takes."""

    name: str
    title: str
    mirrors: str
    parameters: type
    prepare: Callable[..., Any]
    register: Callable[..., int]
    create: Callable[..., int]
    insert: Callable[..., int]
    lookup: Callable[..., tuple[int, int]]
    remove: Callable[..., bool]
    teardown: Callable[..., None]
    reader_side: str
    """What a reader must hold: 'rcu', 'mutex' or 'none'."""
    max_keys: int
    put: Callable[..., None] = keep_no_reference
    drop: Callable[..., int] = keep_no_list
    drop_options: dict[str, Any] = field(default_factory=dict, hash=False)
    """What `prepare` takes more for users that keep the list which `drop` walks."""
    options: dict[str, Any] = field(default_factory=dict, hash=False)
    loads_to_datum: str = ""
    """The chain of dependent loads from the cgroup pointer to the datum, for people."""
    sized_by_keys: bool = False
    """True where a cgroup's memory is sized by the number of keys (`prepare(keys=...)`)."""
    checks_presence: bool = True
    """False where a lookup answers for a datum that was never installed."""
    sized_by_cgroups: bool = False
    """True where fixed memory is sized by the number of cgroups (`prepare(entries=...)`)."""
    needs_cgroup: bool = True
    """False where the datum is found without the cgroup's address: it need not be loaded."""

    def __repr__(self) -> str:
        """Name and title: the functions say nothing to a reader."""
        return f"<Design {self.name}: {self.title}>"

    def _repr_html_(self) -> str:
        """A notebook's display of one design."""
        facts = {
            "mirrors": self.mirrors, "from the cgroup to the datum": self.loads_to_datum,
            "a reader holds": self.reader_side, "keys": f"{self.max_keys:,}",
        }  # fmt: skip
        rows = "".join(
            f"<tr><th>{escape(name)}</th><td>{escape(value)}</td></tr>"
            for name, value in facts.items()
        )
        return f"<b>{escape(self.name)}</b>: {escape(self.title)}<table>{rows}</table>"

    @property
    def keeps_list(self) -> bool:
        """Whether the owner of a key has a list by which `drop` finds its data."""
        return self.drop is not keep_no_list

    def new(self, heap: Heap, kernel: Kernel, n_keys: int = 0, n_cgroups: int = 0) -> Any:
        """The design's parameters on a heap, for so many keys and cgroups (0: its default)."""
        sized = {}
        if self.sized_by_keys and n_keys:
            sized["keys"] = n_keys
        if self.sized_by_cgroups and n_cgroups:
            sized["entries"] = n_cgroups
        return self.prepare(heap, kernel, **self.options, **sized)


_BY_NAME: dict[str, Design] = {}
_BY_TYPE: dict[type, Design] = {}


def add_design(design: Design) -> Design:
    """Register a design; raises UserError if its name is taken by another one."""
    other = _BY_NAME.get(design.name)
    if other is not None and other.parameters is not design.parameters:
        raise UserError(f"design {design.name!r} exists already")
    missing = [f for f in COMMON_FIELDS if f not in getattr(design.parameters, "_fields", ())]
    if missing:
        raise UserError(f"design {design.name!r}: parameters lack {', '.join(missing)}")
    _BY_NAME[design.name] = design
    _BY_TYPE[design.parameters] = design
    return design


def get_design(name: str) -> Design:
    """The design of that name; raises UserError with the closest name otherwise."""
    if name not in _BY_NAME:
        raise unknown_name("design", name, _BY_NAME)
    return _BY_NAME[name]


class Designs(list[Design]):
    """A list of designs, which a notebook shows as a table."""

    def _repr_html_(self) -> str:
        rows = "".join(
            f"<tr><td>{escape(d.name)}</td><td>{escape(d.title)}</td><td>{escape(d.mirrors)}</td>"
            f"</tr>"
            for d in self
        )
        return f"<table><tr><th>design</th><th>what</th><th>mirrors</th></tr>{rows}</table>"


def list_designs() -> list[Design]:
    """All designs, in order of registration."""
    return Designs(_BY_NAME.values())


def _generic(operation: str) -> Callable[[Callable[..., Any]], Any]:
    """Make a stub dispatch to the design whose parameters are its second argument."""

    def decorate(stub: Callable[..., Any]) -> Any:
        if JIT_DISABLED:

            def dispatch(space: Any, design: Any, *arguments: Any) -> Any:
                return getattr(_BY_TYPE[type(design)], operation)(space, design, *arguments)

            dispatch.__doc__ = stub.__doc__
            return dispatch

        def resolve(space, design, *arguments):
            owner = _BY_TYPE.get(getattr(design, "instance_class", object))
            return None if owner is None else getattr(owner, operation).py_func

        # numba compares the signature with the implementation's
        resolve.__signature__ = inspect.signature(stub)  # type: ignore[attr-defined]
        # a lookup's many arguments cost more to pass than its short form takes to run
        overload(stub, jit_options={**PART, "forceinline": operation == "lookup"})(resolve)
        return stub

    return decorate


@_generic("register")
def register(space, design):
    """A new key."""


@_generic("create")
def create(space, design):
    """A new cgroup."""


@_generic("insert")
def insert(space, design, cgroup, key, token):
    """Install a datum for (cgroup, key)."""


@_generic("lookup")
def lookup(space, design, cgroup, key, token, key_token):
    """Find the datum of (cgroup, key)."""


@_generic("remove")
def remove(space, design, cgroup, key, token):
    """Take the datum of (cgroup, key) away."""


@_generic("teardown")
def teardown(space, design, cgroup, token):
    """Take a cgroup away with all its data."""


@_generic("put")
def put(space, design, datum, token):
    """Give back the reference that a lookup took."""


@_generic("drop")
def drop(space, design, key, token):
    """The owner of a key goes, and takes away what its list leads to; returns how many data."""
