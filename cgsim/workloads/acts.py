"""What a row of a stream is: how its cgroup is reached, what is done to the datum or the tree.

The three are packed into one word, the column `act`; see `act_of`.
"""

from __future__ import annotations

STAY, UP, FROM_CGROUP, FROM_SKB, FROM_CURRENT = range(5)
"""How the cgroup is reached. STAY: the row before had reached it, and the row is its next program.
UP: from the row before to the parent. The others begin an event: other code has run before."""

REACHES_AN_EVENT = FROM_CGROUP
"""From this one on, a row begins an event (a packet, an ioctl)."""

USES = ("ignore", "policy", "count", "count-atomic", "rate-limit", "histogram", "charge")
"""What the caller does with its datum. policy: reads a word. count: adds 1 on this CPU alone.
count-atomic: adds 1 where others do too. rate-limit: a token bucket, two words read and written.
histogram: adds 1 to one of four 32-bit counts. charge: page_counter_try_charge, an atomic addition
and the comparison with the limit."""

IGNORE, POLICY, COUNT, COUNT_ATOMIC, RATE_LIMIT, HISTOGRAM, CHARGE = range(len(USES))

OPERATIONS = ("lookup", "install", "remove", "create", "destroy", "pass")
"""What is done. create and destroy: of the cgroup, with a datum for every key. pass: the cgroup is
reached, but nothing is looked up."""

LOOKUP, INSTALL, REMOVE, CREATE, DESTROY, PASS = range(len(OPERATIONS))

REACH_BITS, USE_BITS = 4, 4
REACH_MASK, USE_MASK = (1 << REACH_BITS) - 1, (1 << USE_BITS) - 1
OPERATION_SHIFT = REACH_BITS + USE_BITS


def act_of(reach: int, use: int, operation: int = LOOKUP) -> int:
    """The word of a row."""
    return reach | use << REACH_BITS | operation << OPERATION_SHIFT
