"""What a counter layout is, and how the engine reaches it.

A layout file defines a NamedTuple of parameters for numba and five functions of one shape; the
generic functions here dispatch on the type of that NamedTuple.

===========  ===================================================================================
prepare      (place, counters, **options) -> parameters (Python, once)
step         (space, layout, cpu, scratch, phase, amount) -> next phase: one turn of an update of
             the counter as CPU `cpu`; the update is done when it returns 0
read         (space, layout) -> sum over all copies, as a reader computes it
peek_sum     (space, layout) -> what the counter holds, without cost: for tests and answers
reset        (space, layout): set the counter to 0
===========  ===================================================================================

An update is cut into turns where another CPU may come in between: between a load and the store that
depends on it, around a lock. `scratch` is the raw address of the CPU's own `SCRATCH` int64 words,
its registers between two turns.
"""

from __future__ import annotations

import inspect
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

from numba.extending import overload

from cgsim.core.jit import JIT_DISABLED
from cgsim.errors import UserError, unknown_name

if TYPE_CHECKING:
    from collections.abc import Callable

    from cgsim.machines import Machine
    from cgsim.percpu.place import Place

SCRATCH = 4
"""int64 words of scratch per CPU."""


@dataclass(frozen=True)
class Layout:
    """One layout. `mirrors`: the code it is; `options`: what `prepare` takes."""

    name: str
    title: str
    mirrors: str
    parameters: type
    prepare: Callable[..., Any]
    step: Callable[..., int]
    read: Callable[..., int]
    peek_sum: Callable[..., int]
    reset: Callable[..., None]
    memory_bytes: Callable[[Machine, int], int]
    """(machine, possible CPUs) -> bytes of one counter, as the allocator rounds it."""
    error_bound: Callable[[int], float]
    """CPUs -> how far a plain read may be from the truth while nobody updates."""
    exact: bool = True
    """False where concurrent updates are lost."""
    options: dict[str, Any] = field(default_factory=dict, hash=False)

    def new(self, place: Place) -> Any:
        """The layout's parameters in a simulated memory."""
        return self.prepare(place, **self.options)


_BY_NAME: dict[str, Layout] = {}
_BY_TYPE: dict[type, Layout] = {}


def add_layout(layout: Layout) -> Layout:
    """Register a layout; raises UserError if its name is taken by another one."""
    other = _BY_NAME.get(layout.name)
    if other is not None and other.parameters is not layout.parameters:
        raise UserError(f"layout {layout.name!r} exists already")
    _BY_NAME[layout.name] = layout
    _BY_TYPE[layout.parameters] = layout
    return layout


def get_layout(name: str) -> Layout:
    """The layout of that name; raises UserError with the closest name otherwise."""
    if name not in _BY_NAME:
        raise unknown_name("layout", name, _BY_NAME)
    return _BY_NAME[name]


def list_layouts() -> list[Layout]:
    """All layouts, in order of registration."""
    return list(_BY_NAME.values())


def no_error(cpus: int) -> float:
    """The error bound of a layout whose reads are exact."""
    return 0.0


def _generic(operation: str) -> Callable[[Callable[..., Any]], Any]:
    """Make a stub dispatch to the layout whose parameters are its second argument."""

    def decorate(stub: Callable[..., Any]) -> Any:
        if JIT_DISABLED:

            def dispatch(space: Any, layout: Any, *arguments: Any) -> Any:
                return getattr(_BY_TYPE[type(layout)], operation)(space, layout, *arguments)

            dispatch.__doc__ = stub.__doc__
            return dispatch

        def resolve(space, layout, *arguments):
            owner = _BY_TYPE.get(getattr(layout, "instance_class", type(None)))
            return None if owner is None else getattr(owner, operation).py_func

        resolve.__signature__ = inspect.signature(stub)  # type: ignore[attr-defined]
        overload(stub)(resolve)
        return stub

    return decorate


@_generic("step")
def step(space, layout, cpu, scratch, phase, amount):
    """One turn of an update."""


@_generic("read")
def read(space, layout):
    """Sum all copies."""


@_generic("peek_sum")
def peek_sum(space, layout):
    """The counter's value, without cost."""


@_generic("reset")
def reset(space, layout):
    """Set the counter to 0."""
