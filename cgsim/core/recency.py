"""Sets in recency order: the one structure behind every cache and TLB of the timed machine.

A set is a row of uint32 entries, most recently used first; 0 is an empty way, so untouched sets
cost the host nothing. The low bits of an entry name the line or page, the high bits are state that
moves with it. True LRU: a hit moves to the front, a miss pushes the last entry out.

Rows of up to 16, 32 or 128 ways are padded to a vector and searched and shifted in a few
instructions (plain LLVM vector operations, no intrinsics of one processor); wider ones are walked.
Both give the same answers.
"""

from llvmlite import ir
from numba import types
from numba.extending import intrinsic

from cgsim.compile.block_access import mark_element
from cgsim.compile.intrinsics import peek_u32, poke_u32
from cgsim.compile.jit import JIT_DISABLED, njit

NAME_BITS = 29
NAME_MASK = (1 << NAME_BITS) - 1
OWNED = 1 << 29  # this core may write the line without asking
DIRTY_BIT = 30
DIRTY = 1 << DIRTY_BIT
STATE_MASK = OWNED | DIRTY

# The highest names belong to other code's lines (`cgsim.core.other_code`), hot ones and cold ones.
OTHERS = HOT = NAME_MASK + 1 - (1 << 25)
COLD = HOT + (1 << 24)

_LANES = (16, 32, 128)  # the widest is for fully associative TLBs


def row_entries(ways):
    """Entries that a row of `ways` takes, padding included."""
    for lanes in _LANES:
        if ways <= lanes:
            return lanes
    return ways


@njit
def _find_walking(row, ways, name):
    for way in range(ways):
        if peek_u32(row + 4 * way) & NAME_MASK == name:
            return way
    return -1


@njit
def _to_front_walking(row, ways, way, entry):
    for back in range(way, 0, -1):
        poke_u32(row + 4 * back, peek_u32(row + 4 * (back - 1)))
    poke_u32(row, entry)


@njit
def _close_walking(row, ways, way):
    for place in range(way, ways - 1):
        poke_u32(row + 4 * place, peek_u32(row + 4 * (place + 1)))
    poke_u32(row + 4 * (ways - 1), 0)


def _vector(lanes):
    """(find, to_front, close) for rows padded to `lanes` entries."""
    word, long = ir.IntType(32), ir.IntType(64)
    row_type = ir.VectorType(word, lanes)
    count = ir.Constant(row_type, list(range(lanes)))

    def load_row(builder, address):
        pointer = builder.inttoptr(address, row_type.as_pointer())
        value = builder.load(pointer)
        value.align = 4 * lanes
        return value

    def splat(builder, value):
        narrow = builder.trunc(value, word)
        undefined = ir.Constant(row_type, ir.Undefined)
        first = builder.insert_element(undefined, narrow, ir.Constant(word, 0))
        return builder.shuffle_vector(first, undefined, ir.Constant(row_type, [0] * lanes))

    def store_row(builder, address, row):
        # LLVM would turn the blend and the store into a masked store, which forwards nothing to the
        # next load of the row; an address out of an empty piece of assembly keeps it from doing so
        hidden = builder.asm(ir.FunctionType(long, [long]), "", "=r,0", [address], False)
        result = builder.store(row, builder.inttoptr(hidden, row_type.as_pointer()))
        result.align = 4 * lanes
        mark_element(result)

    @intrinsic
    def find_lane(typingctx, row, name):
        def codegen(context, builder, signature, arguments):
            entries = load_row(builder, arguments[0])
            names = builder.and_(entries, ir.Constant(row_type, [NAME_MASK] * lanes))
            equal = builder.icmp_unsigned("==", names, splat(builder, arguments[1]))
            bits = ir.IntType(max(lanes, 64))
            mask = builder.bitcast(equal, ir.IntType(lanes))
            mask = mask if lanes >= 64 else builder.zext(mask, bits)
            lane = builder.cttz(mask, ir.Constant(ir.IntType(1), 0))
            lane = lane if lanes <= 64 else builder.trunc(lane, long)
            missing = builder.icmp_unsigned("==", mask, ir.Constant(bits, 0))
            return builder.select(missing, ir.Constant(long, -1), lane)

        return types.int64(types.int64, types.int64), codegen

    @intrinsic
    def front(typingctx, row, way, entry):
        def codegen(context, builder, signature, arguments):
            entries = load_row(builder, arguments[0])
            newest = splat(builder, arguments[2])
            order = ir.Constant(row_type, [lanes, *range(lanes - 1)])
            shifted = builder.shuffle_vector(entries, newest, order)
            moves = builder.icmp_unsigned("<=", count, splat(builder, arguments[1]))
            store_row(builder, arguments[0], builder.select(moves, shifted, entries))
            return context.get_dummy_value()

        return types.void(types.int64, types.int64, types.int64), codegen

    @intrinsic
    def close(typingctx, row, way):
        def codegen(context, builder, signature, arguments):
            entries = load_row(builder, arguments[0])
            empty = ir.Constant(row_type, [0] * lanes)
            order = ir.Constant(row_type, [*range(1, lanes), lanes])
            shifted = builder.shuffle_vector(entries, empty, order)
            moves = builder.icmp_unsigned(">=", count, splat(builder, arguments[1]))
            store_row(builder, arguments[0], builder.select(moves, shifted, entries))
            return context.get_dummy_value()

        return types.void(types.int64, types.int64), codegen

    return find_lane, front, close


if JIT_DISABLED:
    find, to_front, _close = _find_walking, _to_front_walking, _close_walking

    def find_16(row, name):
        """`find` in a set of up to 16 ways."""
        return find(row, 16, name)

    def to_front_16(row, way, entry):
        """`to_front` in a set of up to 16 ways."""
        to_front(row, 16, way, entry)

    def close_16(row, way):
        """Take out the entry at `way` of a set of up to 16 ways."""
        _close(row, 16, way)

else:
    find_16, to_front_16, close_16 = _vector(16)
    _find_32, _front_32, _close_32 = _vector(32)
    _find_128, _front_128, _close_128 = _vector(128)

    @njit(forceinline=True)
    def find(row, ways, name):
        """The way that holds `name` in the set at raw address `row`, -1 if none does."""
        if ways <= 16:
            return find_16(row, name)
        if ways <= 32:
            return _find_32(row, name)
        if ways <= 128:
            return _find_128(row, name)
        return _find_walking(row, ways, name)

    @njit(forceinline=True)
    def to_front(row, ways, way, entry):
        """Make `entry` the most recent one; what stood before `way` moves back by one."""
        if ways <= 16:
            to_front_16(row, way, entry)
        elif ways <= 32:
            _front_32(row, way, entry)
        elif ways <= 128:
            _front_128(row, way, entry)
        else:
            _to_front_walking(row, ways, way, entry)

    @njit
    def _close(row, ways, way):
        """Take out the entry at `way`; what stood behind it moves up by one."""
        if ways <= 16:
            close_16(row, way)
        elif ways <= 32:
            _close_32(row, way)
        elif ways <= 128:
            _close_128(row, way)
        else:
            _close_walking(row, ways, way)


@njit(forceinline=True)
def insert(row, ways, entry):
    """Push `entry` in front; returns the entry that falls out (0 if the last way was empty)."""
    victim = peek_u32(row + 4 * (ways - 1))
    to_front(row, ways, ways - 1, entry)
    return victim


@njit
def remove(row, ways, name):
    """Take `name` out; returns its entry, 0 if it was not there."""
    way = find(row, ways, name)
    if way < 0:
        return 0
    entry = peek_u32(row + 4 * way)
    _close(row, ways, way)
    return entry
