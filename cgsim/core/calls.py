"""Calls and returns: each pair holds the front end up, whatever else is in flight.

A call's own instructions are counted by `work`; here is the time that fetching loses to the two
redirections. Measured on Zen 5 (data/kernel/traces.jsonl, native): functions of 0 to 9 inner
calls fit 6 + instructions / 12 + 3 * calls cycles a turn with a median error of 5 %.
"""

from cgsim.compile.jit import njit
from cgsim.core.block_fields import TICKS
from cgsim.core.space import pace

CALL_CYCLES = 3
_CALL_TICKS = CALL_CYCLES * TICKS


@njit(forceinline=True)
def redirect(space, ticks):
    """The front end stands still for `ticks`; what is in the window goes on."""
    pace(space, 0)
    pace(space, ticks)


@njit
def call_and_return(space):
    """A call of another function and its return."""
    redirect(space, _CALL_TICKS)
