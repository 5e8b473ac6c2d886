"""What a counter layout is, and how the engine reaches it.

A layout file defines a NamedTuple of parameters for numba and five functions of one shape; the
generic functions here dispatch on the type of that NamedTuple.

===========  ===================================================================================
prepare      (memory, counters, **options) -> parameters (Python, once)
step         (space, layout, cpu, scratch, phase, amount, token) -> next phase: one turn of an
             update of the counter as CPU `cpu`; the update is done when it returns 0. `token`: of
             the counter's address, as a lookup gives it, in phase 0
read         (space, layout) -> sum over all copies, as a reader computes it
peek_sum     (space, layout) -> what the counter holds, without cost: for tests and answers
reset        (space, layout): set the counter to 0
===========  ===================================================================================

An update is cut into turns where another CPU or an interrupt may come in between: between a load
and the store that depends on it, around a lock. `scratch` is the raw address of the CPU's own
`SCRATCH` int64 words; the layout keeps the first three between two turns, the others are those of
`cgsim.percpu.many_cpus` and `cgsim.percpu.queued`.

The parameters are integers, so that a row of memory holds one counter's and many counters of a
layout make a table (`from_row`).
"""

from __future__ import annotations

import inspect
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, NamedTuple

from llvmlite import ir
from numba import types
from numba.extending import intrinsic, overload

from cgsim.compile.intrinsics import peek_i64
from cgsim.compile.jit import JIT_DISABLED, PART
from cgsim.core.heap import kmalloc_bytes
from cgsim.errors import UserError, unknown_name
from cgsim.percpu.chunks import percpu_bytes

if TYPE_CHECKING:
    from collections.abc import Callable

    from cgsim.machines.model import Machine
    from cgsim.percpu.counter_memory import CounterMemory

SCRATCH = 8
"""int64 words of scratch per CPU."""


class Shape(NamedTuple):
    """What a counter is made of: sizes in bytes of its objects from slab, and, for each CPU, of its
    percpu allocations."""

    slab: tuple[int, ...] = ()
    percpu: tuple[int, ...] = ()


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
    shape: Callable[[Machine, int], Shape]
    """(machine, possible CPUs) -> what one counter is made of."""
    error_bound: Callable[[int], float]
    """CPUs -> how far a plain read may be from the truth while nobody updates."""
    exact: bool = True
    """False where concurrent updates are lost."""
    interrupts: str = "safe"
    """An interrupt that updates the same counter in the middle of an update: 'safe', 'off' where
    the update keeps it away, 'lost' where one of the two is lost."""
    migrates: bool = False
    """Whether the scheduler may move a task in the middle of an update: nothing forbids it."""
    per_task: bool = False
    """A copy belongs to a task, and goes with it from CPU to CPU."""
    teardown_reads: bool = False
    """Taking the counter away sums its copies first."""
    options: dict[str, Any] = field(default_factory=dict, hash=False)

    def memory_bytes(self, machine: Machine, possible: int) -> int:
        """Bytes of one counter for so many possible CPUs, as the allocators round them."""
        shape = self.shape(machine, possible)
        slab = sum(int(kmalloc_bytes(size)) for size in shape.slab)
        return slab + possible * sum(percpu_bytes(size) for size in shape.percpu)

    def new(self, memory: CounterMemory) -> Any:
        """The layout's parameters in a simulated memory."""
        return self.prepare(memory, **self.options)


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


def _row_reader() -> Any:
    if JIT_DISABLED:
        return lambda layout, row: type(layout)(
            *[peek_i64(row + 8 * i) for i in range(len(layout))]
        )

    @intrinsic
    def from_row(typingctx, layout, row):
        def codegen(context, builder, signature, arguments):
            word = ir.IntType(64)
            words = builder.inttoptr(arguments[1], word.as_pointer())
            values = [
                builder.load(builder.gep(words, [word(i)], inbounds=True))
                for i in range(len(layout))
            ]
            return context.make_tuple(builder, signature.return_type, values)

        return types.NamedUniTuple(types.int64, len(layout), layout.instance_class)(
            layout, types.int64
        ), codegen

    return from_row


from_row = _row_reader()
"""from_row(layout, row) -> parameters of the layout's type, read from a raw address."""


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
        overload(stub, jit_options=PART)(resolve)
        return stub

    return decorate


@_generic("step")
def step(space, layout, cpu, scratch, phase, amount, token):
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
