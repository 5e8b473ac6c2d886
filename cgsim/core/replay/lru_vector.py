"""One set of a cache as one vector: lookup, reordering and removal without a branch.

A row holds the uint32 entries of a set, most recently used first, in 8, 16 or 32 lanes; lanes at
and beyond the number of ways stay EMPTY. The compare yields a bit mask m of the matching lane; bits
0..lane are x ^ (x - 1) of x = m | bit of the last way, and those lanes take their left neighbour,
lane 0 the line. All of it is generic LLVM IR (icmp, shufflevector, select, bitcast), so LLVM lowers
it to whatever vectors the host has. `lru_scalar` is the same in plain loops.

Arguments are int64: `row` is the raw address of lane 0 (aligned to the row's size), `line` and
`word` as in `lru_scalar`, `last` = ways - 1. The functions that take `lanes` choose among 8, 16 and
32 at run time, and treat anything else as 32.
"""

from llvmlite import ir
from numba import types
from numba.extending import intrinsic

from cgsim.compile.jit import JIT_DISABLED
from cgsim.core.replay.lru_scalar import (
    EMPTY,
    LINE,
    find,
    mark,
    remove,
    remove_clean,
    remove_others,
    touch,
    touch_dirty,
)

I32 = ir.IntType(32)
I64 = ir.IntType(64)


class _Row:
    """The IR of one row: its vector, where it lies, and the matching lanes as a bit mask."""

    def __init__(self, builder, lanes, address):
        self.builder, self.lanes = builder, lanes
        self.vector = ir.VectorType(I32, lanes)
        self.bits = ir.IntType(lanes)
        self.address = address
        self.value = builder.load(builder.inttoptr(address, self.vector.as_pointer()))
        self.value.align = 4 * lanes

    def splat(self, word):
        """`word` in every lane."""
        undefined = ir.Constant(self.vector, ir.Undefined)
        zeros = self.constant([0] * self.lanes)
        first = self.builder.insert_element(undefined, word, ir.Constant(I32, 0))
        return self.builder.shuffle_vector(first, undefined, zeros)

    def constant(self, words):
        return ir.Constant(self.vector, words)

    def equal(self, vector):
        """The lanes equal to those of `vector`, one bit each."""
        lanes = self.builder.icmp_unsigned("==", self.value, vector)
        return self.builder.bitcast(lanes, self.bits)

    def any(self, mask):
        return self.builder.icmp_unsigned("!=", mask, ir.Constant(self.bits, 0))

    def up_to(self, match, last):
        """The mask of the lanes up to the matching one, or up to `last`."""
        b = self.builder
        top = b.shl(ir.Constant(I32, 1), b.trunc(last, I32))
        ends = b.or_(b.zext(match, I32) if self.lanes < 32 else match, top)
        mask = b.xor(ends, b.sub(ends, ir.Constant(I32, 1)))
        return b.trunc(mask, self.bits) if self.lanes < 32 else mask

    def shifted_left(self):
        """The row one lane ahead, EMPTY at the end."""
        empty = self.constant([EMPTY] * self.lanes)
        order = self.constant(list(range(1, self.lanes + 1)))
        return self.builder.shuffle_vector(self.value, empty, order)

    def store(self, mask, moved):
        """Write the row with `moved` in the lanes of `mask`.

        The whole row is stored, from which the next access to the set can be forwarded at once. The
        address is opaque lest LLVM turn the blend and the store into a masked store, which forwards
        nothing (half the speed on Intel).
        """
        self._store(self._blend(mask, moved))

    def push(self, mask, word):
        """Write the row with the lanes of `mask` one lane back, and `word` in lane 0, of `mask`.

        Only the last step, the blend, waits for the mask.
        """
        order = self.constant([2 * self.lanes - 1, *range(self.lanes - 1)])
        moved = self.builder.shuffle_vector(self.value, self.splat(word), order)
        self._store(self._blend(mask, moved))

    def _blend(self, mask, moved):
        chosen = self.builder.bitcast(mask, ir.VectorType(ir.IntType(1), self.lanes))
        return self.builder.select(chosen, moved, self.value)

    def _store(self, blended):
        b = self.builder
        stored = b.store(blended, b.inttoptr(_opaque(b, self.address), self.vector.as_pointer()))
        stored.align = 4 * self.lanes

    def match(self, word):
        """The masks of the lanes that hold the line of `word`, and of the dirty ones among them."""
        b = self.builder
        differ = b.xor(self.value, self.splat(word))
        lines = b.and_(differ, self.constant([LINE] * self.lanes))
        zero = self.constant([0] * self.lanes)
        match = b.bitcast(b.icmp_unsigned("==", lines, zero), self.bits)
        dirty = b.bitcast(b.icmp_signed("<", self.value, zero), self.bits)
        return match, b.and_(match, dirty)


def _opaque(builder, value):
    """The int64 `value`, of which LLVM knows nothing any more: it comes out of empty assembly."""
    return builder.asm(ir.FunctionType(I64, [I64]), "", "=r,0", [value], False)


def _touch_code(builder, lanes, address, line, last):
    row = _Row(builder, lanes, address)
    line = builder.trunc(line, I32)
    match = row.equal(row.splat(line))
    row.push(row.up_to(match, last), line)
    return builder.zext(row.any(match), I64)


def _touch_dirty_code(builder, lanes, address, word, last):
    row = _Row(builder, lanes, address)
    word = builder.trunc(word, I32)
    match, dirty = row.match(word)
    stain = builder.shl(builder.zext(row.any(dirty), I32), ir.Constant(I32, 31))
    row.push(row.up_to(match, last), builder.or_(word, stain))
    # Callers compute with the result; LLVM would rather branch on it, which mispredicts.
    return builder.zext(row.any(match), I64)


def _holds_code(builder, lanes, address, line):
    row = _Row(builder, lanes, address)
    return builder.zext(row.any(row.equal(row.splat(builder.trunc(line, I32)))), I64)


def _remove_clean(builder, lanes, address, wanted, gap):
    """Take the lanes equal to `wanted` out of a row; they, as lanes of -1."""
    row = _Row(builder, lanes, address)
    order = row.constant(list(range(1, lanes + 1)))
    ahead = builder.shuffle_vector(row.value, gap, order)
    row.store(builder.sub(ir.Constant(row.bits, 0), row.equal(wanted)), ahead)
    return builder.sext(builder.icmp_unsigned("==", row.value, wanted), row.vector)


def _remove_clean_code(builder, lanes, address, line, last, empty):
    row = _Row(builder, lanes, address)
    wanted, gap = (row.splat(builder.trunc(word, I32)) for word in (line, empty))
    held = row.any(row.equal(wanted))
    _remove_clean(builder, lanes, address, wanted, gap)
    return builder.zext(held, I64)


def _remove_others_code(builder, lanes, first, rows, address, line, empty):
    b = builder
    own = _Row(b, lanes, address)
    wanted, gap = (own.splat(b.trunc(word, I32)) for word in (line, empty))
    before = b.block
    loop, done = b.append_basic_block("row.next"), b.append_basic_block("row.all")
    end = b.add(first, b.mul(rows, ir.Constant(I64, 4 * lanes)))
    b.branch(loop)
    b.position_at_end(loop)
    place, removed = b.phi(I64), b.phi(own.vector)
    counted = b.add(removed, _remove_clean(b, lanes, place, wanted, gap))
    following = b.add(place, ir.Constant(I64, 4 * lanes))
    for phi, start, next_ in (
        (place, first, following),
        (removed, own.constant([0] * lanes), counted),
    ):
        phi.add_incoming(start, before)
        phi.add_incoming(next_, b.block)
    b.cbranch(b.icmp_signed("<", following, end), loop, done)
    b.position_at_end(done)
    stored = b.store(own.value, b.inttoptr(_opaque(b, address), own.vector.as_pointer()))
    stored.align = 4 * lanes
    others, width = counted, lanes
    while width > 1:
        width //= 2
        order = own.constant([(lane + width) % lanes for lane in range(lanes)])
        others = b.add(others, b.shuffle_vector(others, others, order))
    total = b.sub(ir.Constant(I32, 0), b.extract_element(others, ir.Constant(I32, 0)))
    among = b.and_(b.icmp_signed(">=", address, first), b.icmp_signed("<", address, end))
    held = b.and_(among, own.any(own.equal(wanted)))
    return b.zext(b.sub(total, b.zext(held, I32)), I64)


def _remove_code(builder, lanes, address, line, last):
    row = _Row(builder, lanes, address)
    match, dirty = row.match(builder.trunc(line, I32))
    row.store(builder.sub(ir.Constant(row.bits, 0), match), row.shifted_left())
    was_dirty = builder.shl(builder.zext(row.any(dirty), I64), ir.Constant(I64, 1))
    return builder.or_(builder.zext(row.any(match), I64), was_dirty)


def _mark_code(builder, lanes, address, word, last):
    row = _Row(builder, lanes, address)
    word = builder.trunc(word, I32)
    match, dirty = row.match(word)
    row.store(match, row.splat(word))
    was_dirty = builder.shl(builder.zext(row.any(dirty), I64), ir.Constant(I64, 1))
    return builder.or_(builder.zext(row.any(match), I64), was_dirty)


def _fixed(emit, lanes, twin):
    """The operation for rows of `lanes`: (row, line, last) -> int64."""
    if JIT_DISABLED:
        return twin

    @intrinsic
    def operation(typingctx, row, line, last):
        def codegen(context, builder, signature, arguments):
            return emit(builder, lanes, *arguments)

        return types.int64(types.int64, types.int64, types.int64), codegen

    return operation


def _by_lanes(builder, emit, lanes, arguments):
    """The operation emitted for 8, 16 and 32 lanes, and a switch among them."""
    done = builder.append_basic_block("row.done")
    blocks = {width: builder.append_basic_block(f"row.{width}") for width in (8, 16, 32)}
    switch = builder.switch(lanes, blocks[32])
    switch.add_case(ir.Constant(I64, 8), blocks[8])
    switch.add_case(ir.Constant(I64, 16), blocks[16])
    results = []
    for width, block in blocks.items():
        builder.position_at_end(block)
        results.append((emit(builder, width, *arguments), builder.block))
        builder.branch(done)
    builder.position_at_end(done)
    result = builder.phi(I64)
    for value, block in results:
        result.add_incoming(value, block)
    return result


def _chosen_by_lanes(emit, count):
    """What the intrinsic of an operation returns that takes `count` int64, the lanes first."""

    def codegen(context, builder, signature, arguments):
        return _by_lanes(builder, emit, arguments[0], arguments[1:])

    return types.int64(*[types.int64] * count), codegen


touch_8, touch_16, touch_32 = (_fixed(_touch_code, lanes, touch) for lanes in (8, 16, 32))

if JIT_DISABLED:

    def touch_vector(lanes, row, line, last):
        """See `lru_scalar.touch`."""
        return touch(row, line, last)

    def touch_dirty_vector(lanes, row, word, last):
        """See `lru_scalar.touch_dirty`."""
        return touch_dirty(row, word, last)

    def holds_vector(lanes, row, line):
        """1 if a row without dirty entries holds `line`."""
        return 1 if find(row, line, lanes - 1) >= 0 else 0

    def remove_clean_vector(lanes, row, line, last, empty):
        """See `lru_scalar.remove_clean`."""
        return remove_clean(row, line, last, empty)

    def remove_others_vector(lanes, first, rows, row, line, empty):
        """See `lru_scalar.remove_others`, for rows of `lanes` ways."""
        return remove_others(first, rows, row, line, lanes - 1, empty)

    def remove_vector(lanes, row, line, last):
        """See `lru_scalar.remove`."""
        return remove(row, line, last)

    def mark_vector(lanes, row, word, last):
        """See `lru_scalar.mark`."""
        return mark(row, word, last)

    def prefetch(address):
        """Ask the host for the line at a raw address, to write it; no effect on values."""

    prefetch_to_read = prefetch

    def lowest_bit(word):
        """The number of the lowest set bit of a non-zero uint64."""
        word = int(word)
        return (word & -word).bit_length() - 1

else:

    @intrinsic
    def touch_vector(typingctx, lanes, row, line, last):
        """See `lru_scalar.touch`."""
        return _chosen_by_lanes(_touch_code, 4)

    @intrinsic
    def holds_vector(typingctx, lanes, row, line):
        """1 if a row without dirty entries holds `line`."""
        return _chosen_by_lanes(_holds_code, 3)

    @intrinsic
    def remove_clean_vector(typingctx, lanes, row, line, last, empty):
        """See `lru_scalar.remove_clean`."""
        return _chosen_by_lanes(_remove_clean_code, 5)

    @intrinsic
    def remove_others_vector(typingctx, lanes, first, rows, row, line, empty):
        """See `lru_scalar.remove_others`, for rows of `lanes` ways."""
        return _chosen_by_lanes(_remove_others_code, 6)

    @intrinsic
    def touch_dirty_vector(typingctx, lanes, row, word, last):
        """See `lru_scalar.touch_dirty`."""
        return _chosen_by_lanes(_touch_dirty_code, 4)

    @intrinsic
    def remove_vector(typingctx, lanes, row, line, last):
        """See `lru_scalar.remove`."""
        return _chosen_by_lanes(_remove_code, 4)

    @intrinsic
    def mark_vector(typingctx, lanes, row, word, last):
        """See `lru_scalar.mark`."""
        return _chosen_by_lanes(_mark_code, 4)

    def _prefetch(write):
        @intrinsic
        def ask(typingctx, address):
            def codegen(context, builder, signature, arguments):
                place = builder.inttoptr(arguments[0], ir.IntType(8).as_pointer())
                kind = ir.FunctionType(ir.VoidType(), [place.type, I32, I32, I32])
                function = builder.module.declare_intrinsic("llvm.prefetch.p0", (), kind)
                # 3: into all caches, 1: data
                builder.call(function, [place, *(ir.Constant(I32, x) for x in (write, 3, 1))])
                return context.get_dummy_value()

            return types.void(types.int64), codegen

        return ask

    prefetch, prefetch_to_read = _prefetch(1), _prefetch(0)

    @intrinsic
    def lowest_bit(typingctx, word):
        """The number of the lowest set bit of a non-zero uint64."""

        def codegen(context, builder, signature, arguments):
            return builder.cttz(arguments[0], ir.Constant(ir.IntType(1), 1))

        return types.int64(types.uint64), codegen
