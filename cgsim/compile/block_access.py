"""Named int64 fields in raw blocks of memory, and arrays of int64.

Intrinsics rather than inlined functions: the engine reads and writes fields a thousand times, and
numba takes seconds to inline as many calls.

A field (a constant number, by `get`, `put`, `add`) and an element of an array (by `element`,
`put_element`, `add_element`) never are the same word. LLVM is told so (type-based alias analysis),
and then keeps fields in registers across writes to arrays. Whatever else reads or writes memory may
touch both.
"""

from weakref import WeakKeyDictionary

from llvmlite import ir
from numba import types
from numba.extending import intrinsic

from cgsim.compile.intrinsics import peek_i64, poke_i64
from cgsim.compile.jit import JIT_DISABLED

_WORD = ir.IntType(64)
_FIELD, _ELEMENT = "field", "element"
_tags: WeakKeyDictionary = WeakKeyDictionary()  # module -> kind -> its tag there


def mark_element(instruction):
    """Tell LLVM that a load or store touches no field, only elements of arrays."""
    _tag(instruction, _ELEMENT)


def _tag(instruction, kind):
    module = instruction.parent.parent.module
    tag = _tags.setdefault(module, {}).get(kind)
    if tag is None:
        root = module.add_metadata([ir.MetaDataString(module, "cgsim")])
        word = module.add_metadata([ir.MetaDataString(module, kind), root, _WORD(0)])
        tag = _tags[module][kind] = module.add_metadata([word, word, _WORD(0)])
    instruction.set_metadata("tbaa", tag)


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

    element, put_element, add_element = get, put, add

else:

    def _pointer(builder, block, field):
        return builder.gep(builder.inttoptr(block, _WORD.as_pointer()), [field])

    def _tag_field(instruction, field):
        if isinstance(field, ir.Constant):
            _tag(instruction, _FIELD)

    def _read(tag):
        def codegen(context, builder, signature, arguments):
            value = builder.load(_pointer(builder, *arguments))
            tag(value, arguments[1])
            return value

        return types.int64(types.int64, types.int64), codegen

    def _write(tag):
        def codegen(context, builder, signature, arguments):
            tag(builder.store(arguments[2], _pointer(builder, *arguments[:2])), arguments[1])
            return context.get_dummy_value()

        return types.void(types.int64, types.int64, types.int64), codegen

    def _increase(tag):
        def codegen(context, builder, signature, arguments):
            pointer = _pointer(builder, *arguments[:2])
            value = builder.load(pointer)
            tag(value, arguments[1])
            tag(builder.store(builder.add(value, arguments[2]), pointer), arguments[1])
            return context.get_dummy_value()

        return types.void(types.int64, types.int64, types.int64), codegen

    def _tag_element(instruction, index):
        mark_element(instruction)

    @intrinsic
    def get(typingctx, block, field):
        """The int64 at index `field` of the block at raw address `block`."""
        return _read(_tag_field)

    @intrinsic
    def element(typingctx, array, index):
        """The int64 at `index` of the array at raw address `array`."""
        return _read(_tag_element)

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
        return _write(_tag_field)

    @intrinsic
    def put_element(typingctx, array, index, value):
        """Write the int64 at `index` of the array at raw address `array`."""
        return _write(_tag_element)

    @intrinsic
    def add(typingctx, block, field, amount):
        """Add to the int64 at index `field` of the block at raw address `block`."""
        return _increase(_tag_field)

    @intrinsic
    def add_element(typingctx, array, index, amount):
        """Add to the int64 at `index` of the array at raw address `array`."""
        return _increase(_tag_element)
