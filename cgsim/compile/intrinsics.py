"""Reads and writes at raw addresses, and calls through a function's address.

A space that held numpy arrays would make numba count references at every access (17 times slower
in the timed reading); raw addresses cost nothing. Callers must keep the memory alive, see
`cgsim.core.host_memory`.

All values are int64; narrower reads are zero-extended, narrower writes truncate.
"""

import ctypes

from llvmlite import ir
from numba import types
from numba.extending import intrinsic

from cgsim.compile import numba_internals
from cgsim.compile.jit import JIT_DISABLED

_CTYPES = {8: ctypes.c_uint8, 16: ctypes.c_uint16, 32: ctypes.c_uint32, 64: ctypes.c_int64}


def _peek(bits):
    if JIT_DISABLED:
        ctype = _CTYPES[bits]
        return lambda address: ctype.from_address(int(address)).value

    @intrinsic
    def peek(typingctx, address):
        def codegen(context, builder, signature, arguments):
            pointer = builder.inttoptr(arguments[0], ir.IntType(bits).as_pointer())
            value = builder.load(pointer)
            return value if bits == 64 else builder.zext(value, ir.IntType(64))

        return types.int64(types.int64), codegen

    return peek


def _poke(bits):
    if JIT_DISABLED:
        ctype = _CTYPES[bits]

        def poke_python(address, value):
            if bits == 64 and not -(1 << 63) <= value < 1 << 63:
                raise OverflowError(f"{value} is no int64")  # compiled code may not rely on it
            ctype.from_address(int(address)).value = int(value)

        return poke_python

    @intrinsic
    def poke(typingctx, address, value):
        def codegen(context, builder, signature, arguments):
            pointer = builder.inttoptr(arguments[0], ir.IntType(bits).as_pointer())
            value = arguments[1]
            builder.store(value if bits == 64 else builder.trunc(value, ir.IntType(bits)), pointer)
            return context.get_dummy_value()

        return types.void(types.int64, types.int64), codegen

    return poke


peek_u8, peek_u16, peek_u32, peek_i64 = _peek(8), _peek(16), _peek(32), _peek(64)
poke_u8, poke_u16, poke_u32, poke_i64 = _poke(8), _poke(16), _poke(32), _poke(64)


if JIT_DISABLED:

    def real(array, index):
        """The float64 at `index` of the array at raw address `array`."""
        return ctypes.c_double.from_address(int(array) + 8 * int(index)).value

    def put_real(array, index, value):
        """Write the float64 at `index` of the array at raw address `array`."""
        ctypes.c_double.from_address(int(array) + 8 * int(index)).value = float(value)

    def wrapping_sum(a, b):
        """a + b modulo 2**64, as int64."""
        return (int(a) + int(b) + (1 << 63)) % (1 << 64) - (1 << 63)

    def wrapping_product(a, b):
        """a * b modulo 2**64, as int64."""
        return (int(a) * int(b) + (1 << 63)) % (1 << 64) - (1 << 63)

    def unlikely(condition):
        """The condition, which the compiler takes to be false mostly."""
        return condition

    def opaque(value):
        """The value, by a way that the compiler does not see through nor take early."""
        return value

    def call_i64_4(function, a, b, c, d):
        """Call the int64 function of four int64 registered under the address `function`."""
        return PYTHON_FUNCTIONS[function](a, b, c, d)

    def call_i64_5(function, a, b, c, d, e):
        """Call the int64 function of five int64 registered under the address `function`."""
        return PYTHON_FUNCTIONS[function](a, b, c, d, e)

    def function_address(function):
        """A number under which `call_i64_4` and `call_i64_5` find the function."""
        number = len(PYTHON_FUNCTIONS) + 1
        PYTHON_FUNCTIONS[number] = function
        return number

else:
    function_address = numba_internals.function_address

    def _real_pointer(builder, array, index):
        pointer = builder.inttoptr(array, ir.DoubleType().as_pointer())
        return builder.gep(pointer, [index])

    @intrinsic
    def real(typingctx, array, index):
        """The float64 at `index` of the array at raw address `array`."""

        def codegen(context, builder, signature, arguments):
            return builder.load(_real_pointer(builder, *arguments))

        return types.float64(types.int64, types.int64), codegen

    @intrinsic
    def put_real(typingctx, array, index, value):
        """Write the float64 at `index` of the array at raw address `array`."""

        def codegen(context, builder, signature, arguments):
            builder.store(arguments[2], _real_pointer(builder, *arguments[:2]))
            return context.get_dummy_value()

        return types.void(types.int64, types.int64, types.float64), codegen

    # numba tells LLVM that sums and products of int64 do not overflow

    @intrinsic
    def wrapping_sum(typingctx, a, b):
        """a + b modulo 2**64, as int64."""

        def codegen(context, builder, signature, arguments):
            return builder.add(*arguments)

        return types.int64(types.int64, types.int64), codegen

    @intrinsic
    def wrapping_product(typingctx, a, b):
        """a * b modulo 2**64, as int64."""

        def codegen(context, builder, signature, arguments):
            return builder.mul(*arguments)

        return types.int64(types.int64, types.int64), codegen

    @intrinsic
    def unlikely(typingctx, condition):
        """The condition, which the compiler takes to be false mostly."""

        def codegen(context, builder, signature, arguments):
            bit = ir.IntType(1)
            expect = ir.FunctionType(bit, [bit, bit])
            function = builder.module.declare_intrinsic("llvm.expect", [bit], expect)
            return builder.call(function, [arguments[0], bit(0)])

        return types.boolean(types.boolean), codegen

    @intrinsic
    def opaque(typingctx, value):
        """The value, by a way that the compiler does not see through nor take early."""

        def codegen(context, builder, signature, arguments):
            word = ir.IntType(64)
            return builder.asm(ir.FunctionType(word, [word]), "", "=r,0", arguments, True)

        return types.int64(types.int64), codegen

    def _call(builder, arguments):
        word = ir.IntType(64)
        pointer = ir.FunctionType(word, [word] * (len(arguments) - 1)).as_pointer()
        return builder.call(builder.inttoptr(arguments[0], pointer), arguments[1:])

    @intrinsic
    def call_i64_4(typingctx, function, a, b, c, d):
        """Call the compiled C function at address `function`: four int64 in, one int64 out."""
        signature = types.int64(*[types.int64] * 5)
        return signature, lambda context, builder, signature, arguments: _call(builder, arguments)

    @intrinsic
    def call_i64_5(typingctx, function, a, b, c, d, e):
        """Call the compiled C function at address `function`: five int64 in, one int64 out."""
        signature = types.int64(*[types.int64] * 6)
        return signature, lambda context, builder, signature, arguments: _call(builder, arguments)


PYTHON_FUNCTIONS: dict = {}
"""With the JIT disabled, `function_address` numbers the Python functions here."""
