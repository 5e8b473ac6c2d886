"""The loops that are timed. Addresses are raw; each loop ends by itself.

Every loop returns a value that hangs on all it did, so that the compiler leaves nothing out.
"""

from cgsim.compile.intrinsics import (
    opaque,
    peek_i64,
    peek_u8,
    poke_i64,
    wrapping_product,
    wrapping_sum,
)
from cgsim.compile.jit import njit
from cgsim.validation.host.instructions import (
    direct_call,
    locked_add,
    locked_exchange,
    nops_0,
    nops_1,
    nops_2,
    nops_3,
    nops_4,
    nops_5,
    nops_6,
    nops_7,
    nops_8,
    nops_9,
    nops_10,
    nops_11,
    nops_12,
    retpoline,
    zeroings,
)


@njit
def additions(n, start):
    """A chain of `n` additions: n cycles."""
    value = start
    for _ in range(n):
        value = opaque(value + 1)
    return value


@njit
def multiplications(n, start):
    """A chain of `n` multiplications."""
    value = start
    for _ in range(n):
        value = opaque(wrapping_product(value, value))
    return value


@njit
def chase(n, start):
    """Follow `n` pointers."""
    at = start
    for _ in range(n):
        at = peek_i64(at)
    return at


@njit
def chase_indexed(n, base, start):
    """Follow `n` indices of words from a base: each address has an index register."""
    at = start
    for _ in range(n):
        at = peek_i64(wrapping_sum(base, at << 3))
    return at


@njit
def scattered(n, base, stride, mask, first):
    """`n` loads in no order of words a stride apart, none waiting. mask : words - 1."""
    total = 0
    for i in range(first, first + n):
        mixed = wrapping_product(i, -7046029254386353131)
        mixed = wrapping_product(mixed ^ (mixed >> 29), -4658895280553007687)
        total = wrapping_sum(total, peek_i64(base + stride * ((mixed >> 20) & mask)))
    return total


@njit
def loads(n, base):
    """`n` times 8 loads of one line, summed up in four chains."""
    first = second = third = fourth = 0
    for _ in range(n):
        at = opaque(base)
        first = opaque(first ^ peek_i64(at))
        second = opaque(second ^ peek_i64(at + 8))
        third = opaque(third ^ peek_i64(at + 16))
        fourth = opaque(fourth ^ peek_i64(at + 24))
        first = opaque(first ^ peek_i64(at + 32))
        second = opaque(second ^ peek_i64(at + 40))
        third = opaque(third ^ peek_i64(at + 48))
        fourth = opaque(fourth ^ peek_i64(at + 56))
    return first ^ second ^ third ^ fourth


@njit
def branches(n, table, mask, first):
    """`n` branches, each decided by the lowest bit of the next byte of a table."""
    total = 0
    for i in range(first, first + n):
        total = opaque(total + 3) if peek_u8(table + (i & mask)) & 1 else opaque(total + 1)
    return total


@njit
def locked_additions(n, address):
    """`n` locked additions to one word."""
    total = 0
    for _ in range(n):
        total = wrapping_sum(total, locked_add(address, 1))
    return total


@njit
def forwarded(n, address):
    """`n` times add 1 to a word in memory, each reading what the one before stored."""
    at = address
    for _ in range(n):
        at = opaque(at)
        poke_i64(at, peek_i64(at) + 1)
    return peek_i64(at)


@njit
def empty_slots(n):
    """`n` times a run of `ZEROINGS` instructions that need a slot only."""
    for _ in range(n):
        zeroings()
    return n


@njit
def calls(n, indirect):
    """`n` calls with their returns, or (1) jumps through a retpoline."""
    for _ in range(n):
        if indirect != 0:
            retpoline()
        else:
            direct_call()
    return n


@njit
def no_operations(n):
    """`n` times the longest run of no-operations."""
    for _ in range(n):
        nops_12()
    return n


@njit
def fill(which):
    """Run number `which` of the runs of no-operations."""
    if which == 0:
        nops_0()
    elif which == 1:
        nops_1()
    elif which == 2:
        nops_2()
    elif which == 3:
        nops_3()
    elif which == 4:
        nops_4()
    elif which == 5:
        nops_5()
    elif which == 6:
        nops_6()
    elif which == 7:
        nops_7()
    elif which == 8:
        nops_8()
    elif which == 9:
        nops_9()
    elif which == 10:
        nops_10()
    elif which == 11:
        nops_11()
    elif which == 12:
        nops_12()


@njit
def overlap(n, first, second, which):
    """Two chains of pointers in turn, with a run of no-operations after each load.

    The chains overlap as long as the window holds a run and both loads.
    """
    p, q = first, second
    for _ in range(n):
        p = peek_i64(p)
        fill(which)
        q = peek_i64(q)
        fill(which)
    return wrapping_sum(p, q)


@njit
def ping_pong(rounds, address, mine, limit):
    """Wait until a word is `mine`, make it the other's (1 - mine); returns the rounds done.

    limit : attempts at a round; beyond them the other one is taken to be gone.
    """
    for done in range(rounds):
        tries = 0
        while locked_exchange(address, mine, 1 - mine) != mine:
            tries += 1
            if tries > limit:
                return done
    return rounds
