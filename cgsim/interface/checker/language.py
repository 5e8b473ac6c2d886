"""The words that protocols are written in, and the properties that are checked.

A protocol is a Python function that is never called: `cgsim.interface.checker.compiler` reads its
source. It is written as the kernel's C would be: `priv = cgrp.first`, `while priv:`,
`mutex_lock(cgrp.mutex)`. Fields are words of objects; a name is a local variable; a call of another
protocol function is inlined; a condition on constants is decided when it is compiled, as #ifdef.

One step of an actor is one access to shared memory, or one lock, count or RCU operation, with the
work on local variables that follows it. Steps of different actors interleave in every order. Memory
is sequentially consistent: a barrier that is missing is not found.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any, NamedTuple

from cgsim.errors import UserError


class Kind(NamedTuple):
    """A struct: names of its words, and how objects of it behave.

    words : a name that begins with * is a pointer: what no pointer leads to at the end has leaked.
    slots : words that are reached by index behind the named ones; where the struct has a word
    `len`, that many of them are inside. pool : how many can be allocated in a run. percpu : 1 a
    task may touch it only while it cannot migrate, 2 a cookie, that is no memory at all. ghost :
    bookkeeping of the check itself, that costs no step. slots_point : the slots are pointers.
    """

    name: str
    words: tuple[str, ...]
    slots: int = 0
    pool: int = 2
    percpu: int = 0
    ghost: bool = False
    slots_point: bool = False

    @property
    def names(self) -> tuple[str, ...]:
        """The words' names."""
        return tuple(word.lstrip("*") for word in self.words)


@dataclass(frozen=True)
class Static:
    """An object that is there from the start; `initial` has the words that are not 0."""

    name: str
    kind: Kind
    initial: dict[str, Any] = field(default_factory=dict, hash=False)


@dataclass(frozen=True)
class Primitive:
    """A word of the language."""

    name: str

    def __call__(self, *arguments: Any, **fields: Any) -> Any:
        raise UserError(f"{self.name}() means something only in a protocol")


mutex_lock = Primitive("mutex_lock")
mutex_unlock = Primitive("mutex_unlock")
spin_lock = Primitive("spin_lock")
spin_unlock = Primitive("spin_unlock")
rcu_read_lock = Primitive("rcu_read_lock")
rcu_read_unlock = Primitive("rcu_read_unlock")
synchronize_rcu = Primitive("synchronize_rcu")
call_rcu = Primitive("call_rcu")
"""The object's callback may run when all readers of now have left; also kfree_rcu."""
rcu_barrier = Primitive("rcu_barrier")
take_callback = Primitive("take_callback")
"""Some object whose grace period has ended; waits for one."""
migrate_disable = Primitive("migrate_disable")
migrate_enable = Primitive("migrate_enable")
softirq_enter = Primitive("softirq_enter")
softirq_exit = Primitive("softirq_exit")
kzalloc = Primitive("kzalloc")
kfree = Primitive("kfree")
refcount_inc = Primitive("refcount_inc")
refcount_inc_not_zero = Primitive("refcount_inc_not_zero")
refcount_dec_and_test = Primitive("refcount_dec_and_test")
atomic_inc = Primitive("atomic_inc")
atomic_dec = Primitive("atomic_dec")
xchg = Primitive("xchg")
might_sleep = Primitive("might_sleep")
wait_until_zero = Primitive("wait_until_zero")
choose = Primitive("choose")
"""Any number below n: all are tried."""
step = Primitive("step")
"""A step that does nothing, before which others may run; its text says what comes then."""
check = Primitive("check")
refuse = Primitive("refuse")
"""The interface says at run time what was wrong."""
refuse_at_load = Primitive("refuse_at_load")
"""The build, the verifier or the registration says what was wrong, before anything runs."""


def module_text(function: Any) -> Any:
    """Mark a protocol function as text of the module: none of it may run once that is unloaded."""
    function.is_module_text = True
    return function


PROPERTIES = (
    "",
    "no use after free",
    "no double free",
    "no leak at the end",
    "never another key's datum",
    "no sleeping in atomic context",
    "percpu data only with migration disabled",
    "no call into an unloaded module",
    "no access outside the buffer",
    "a lookup sees the old or the new datum",
    "no list corrupted by two locks",
    "errors are returned as errors",
    "every valid key is accepted",
    "an installed datum is found until it is removed",
    "one datum under a key",
    "no deadlock",
    "no reference from zero",
    "no NULL pointer followed",
    "what is locked is unlocked once",
    "no update is lost",
)
(
    NONE, USE_AFTER_FREE, DOUBLE_FREE, LEAK, ANOTHER_KEY, SLEEP, PERCPU, UNLOADED, OUTSIDE,
    OLD_OR_NEW, LIST, ERRORS, VALID_KEY, FOUND, ONE_DATUM, DEADLOCK, REFERENCE, NULL, BALANCE,
    LOST_UPDATE,
) = range(len(PROPERTIES))  # fmt: skip
