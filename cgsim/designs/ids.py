"""Small integers for drivers: what a global ida gives, kept in one simulated word."""

from cgsim.core.jit import njit
from cgsim.core.space import peek, poke


@njit
def new_id(space, ids):
    """The next integer, from 0; `ids` is the address of the counter's word."""
    number = peek(space, ids, 8)
    poke(space, ids, 8, number + 1)
    return number
