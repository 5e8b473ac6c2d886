"""Small integers: what a global ida gives, kept in simulated words."""

from cgsim.compile.jit import njit
from cgsim.core.space import peek, poke


@njit
def new_id(space, ids):
    """The next integer, from 0; `ids` is the address of the counter's word."""
    number = peek(space, ids, 8)
    poke(space, ids, 8, number + 1)
    return number


@njit
def reused_id(space, ids):
    """The integer that `free_id` took last, else the next one.

    `ids` is the address of a counter's word, the number of freed integers, and those.
    """
    freed = peek(space, ids + 8, 8)
    if freed == 0:
        return new_id(space, ids)
    poke(space, ids + 8, 8, freed - 1)
    return peek(space, ids + 8 + 8 * freed, 8)


@njit
def free_id(space, ids, number):
    """Give an integer back."""
    freed = peek(space, ids + 8, 8) + 1
    poke(space, ids + 8, 8, freed)
    poke(space, ids + 8 + 8 * freed, 8, number)
