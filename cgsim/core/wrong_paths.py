"""Wrong paths: what the code behind a mispredicted branch had asked for before it was known.

Until a branch's outcome is known the front end runs down the wrong path, which soon meets the right
one (a loop left late, then the code behind it): what the right path loads may be on its way
already, by as much as the wrong path was ahead. It is taken to come half a reorder buffer far.
Calls that hang on nothing before them are begun again behind each branch that waits, so what
several wrong paths were ahead by adds up.
"""

from cgsim.compile.block_access import fixed, get, put
from cgsim.compile.jit import internal
from cgsim.core.block_fields import (
    C_AHEAD,
    C_AHEAD_UNTIL,
    C_CHAIN,
    C_INSTRUCTIONS,
    C_LEAD,
    C_LEADS,
    C_RESTART,
    C_ROB_ENTRIES,
    C_SYSTEM,
    LEADS,
    S_MISPREDICT,
)


@internal
def _lead(cpu):
    """Ticks by which wrong paths were ahead here: each went on where the one before had come to.

    While the front end starts anew, lines on their way arrive, but no load starts; so that time
    counts once.
    """
    ticks = fixed(fixed(cpu, C_SYSTEM), S_MISPREDICT)
    for number in range(LEADS):
        entry = fixed(cpu, C_LEADS) + 16 * number
        if get(entry, 0) > get(cpu, C_INSTRUCTIONS):
            ticks += get(entry, 1)
    return ticks


@internal
def forget(cpu):
    """They came no further than this point."""
    put(cpu, C_AHEAD_UNTIL, 0)
    for number in range(LEADS):
        put(fixed(cpu, C_LEADS) + 16 * number, 0, 0)


@internal
def note(cpu, ticks):
    """The branch that the front end restarts behind has waited for its outcome for `ticks`."""
    until = get(cpu, C_INSTRUCTIONS) + fixed(cpu, C_ROB_ENTRIES) // 2
    put(cpu, C_AHEAD_UNTIL, until)
    number = get(cpu, C_LEAD)
    entry = fixed(cpu, C_LEADS) + 16 * number
    put(entry, 0, until)
    put(entry, 1, ticks)
    put(cpu, C_LEAD, number + 1 & LEADS - 1)
    put(cpu, C_AHEAD, ticks + fixed(fixed(cpu, C_SYSTEM), S_MISPREDICT))
    put(cpu, C_CHAIN, 0)


@internal
def fetched_ahead(cpu, token, ticks):
    """Ticks of a miss that have passed already: a wrong path had asked for the line.

    It had not if the address hangs on a value from before the branch, as the wrong path had another
    one; nor had it for what follows from that. What it was ahead by is used up along a chain of
    loads.
    """
    ahead = get(cpu, C_AHEAD)
    if get(cpu, C_CHAIN) != 0:
        put(cpu, C_CHAIN, 0)
        ahead = _lead(cpu)
    if 0 < token < get(cpu, C_RESTART):
        ahead = 0
    saved = min(ahead, ticks)
    put(cpu, C_AHEAD, ahead - saved)
    return saved
