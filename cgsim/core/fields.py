"""Named int64 fields in raw blocks of memory.

Intrinsics rather than inlined functions: the engine reads and writes fields a thousand times, and
numba takes seconds to inline as many calls.
"""

from llvmlite import ir
from numba import types
from numba.extending import intrinsic

from cgsim.core.jit import JIT_DISABLED
from cgsim.core.raw import peek_i64, poke_i64

if JIT_DISABLED:

    def get(block, field):
        """The int64 at index `field` of the block at raw address `block`."""
        return peek_i64(block + 8 * field)

    def put(block, field, value):
        """Write the int64 at index `field` of the block at raw address `block`."""
        poke_i64(block + 8 * field, value)

    def fixed(block, field):
        """`get` of a field that no compiled code writes."""
        return peek_i64(block + 8 * field)

    def add(block, field, amount):
        """Add to the int64 at index `field` of the block at raw address `block`."""
        poke_i64(block + 8 * field, peek_i64(block + 8 * field) + amount)

else:
    _WORD = ir.IntType(64)

    def _pointer(builder, block, field):
        return builder.gep(builder.inttoptr(block, _WORD.as_pointer()), [field])

    @intrinsic
    def get(typingctx, block, field):
        """The int64 at index `field` of the block at raw address `block`."""

        def codegen(context, builder, signature, arguments):
            return builder.load(_pointer(builder, *arguments))

        return types.int64(types.int64, types.int64), codegen

    @intrinsic
    def fixed(typingctx, block, field):
        """`get` of a field that no compiled code writes: read once, however often it is used."""

        def codegen(context, builder, signature, arguments):
            value = builder.load(_pointer(builder, *arguments))
            value.set_metadata("invariant.load", builder.module.add_metadata([]))
            return value

        return types.int64(types.int64, types.int64), codegen

    @intrinsic
    def put(typingctx, block, field, value):
        """Write the int64 at index `field` of the block at raw address `block`."""

        def codegen(context, builder, signature, arguments):
            builder.store(arguments[2], _pointer(builder, *arguments[:2]))
            return context.get_dummy_value()

        return types.void(types.int64, types.int64, types.int64), codegen

    @intrinsic
    def add(typingctx, block, field, amount):
        """Add to the int64 at index `field` of the block at raw address `block`."""

        def codegen(context, builder, signature, arguments):
            pointer = _pointer(builder, *arguments[:2])
            builder.store(builder.add(builder.load(pointer), arguments[2]), pointer)
            return context.get_dummy_value()

        return types.void(types.int64, types.int64, types.int64), codegen
