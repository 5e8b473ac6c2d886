"""The reorder buffer: an instruction enters when the one that many before it has retired.

Retirement is noted per block of `BLOCK` instructions, at each access: the note of a block is the
clock of the last access in it. A block without an access (plain work, `BLOCK` instructions and
more) keeps an old note and holds nobody back; the next block with one does. So entering is one
read, and the host need not follow a pointer from note to note.
"""

from cgsim.compile.block_access import element, fixed, put_element
from cgsim.compile.jit import inlined
from cgsim.core.block_fields import C_NOTES, C_ROB_ENTRIES

_BLOCK_SHIFT = 4
BLOCK = 1 << _BLOCK_SHIFT
NOTES = 128
MOST_ENTRIES = BLOCK * (NOTES - 2)


@inlined
def enter(cpu, number, clock):
    """When instruction `number` enters that the front end has at `clock`."""
    left = number - fixed(cpu, C_ROB_ENTRIES)
    return max(clock, element(fixed(cpu, C_NOTES), left >> _BLOCK_SHIFT & NOTES - 1))


@inlined
def leave(cpu, number, clock):
    """Note that instruction `number` has retired at `clock`."""
    put_element(fixed(cpu, C_NOTES), number >> _BLOCK_SHIFT & NOTES - 1, clock)
