"""Instructions that measurements need and numba has no word for: atomics, and fillers.

They run compiled only; measurements of interpreted code would say nothing of the machine.
"""

import platform

import llvmlite.binding
from llvmlite import ir
from numba import types
from numba.extending import intrinsic

llvmlite.binding.initialize_native_asmparser()  # numba's own code needs none

X86 = platform.machine() in ("x86_64", "AMD64")
_FLAGS = ["~{flags}", "~{dirflag}", "~{fpsr}"] if X86 else ["~{cc}"]
WINDOWS = (96, 128, 160, 192, 224, 256, 320, 384, 416, 448, 512, 640, 768)
"""Lengths of the runs of no-operations: each takes a place in the window and nothing else."""


@intrinsic
def locked_add(typingctx, address, amount):
    """A locked add of 8 bytes; returns the old value."""

    def codegen(context, builder, signature, arguments):
        pointer = builder.inttoptr(arguments[0], ir.IntType(64).as_pointer())
        return builder.atomic_rmw("add", pointer, arguments[1], "seq_cst")

    return types.int64(types.int64, types.int64), codegen


@intrinsic
def locked_exchange(typingctx, address, expected, desired):
    """A locked compare and exchange of 8 bytes; returns the old value."""

    def codegen(context, builder, signature, arguments):
        pointer = builder.inttoptr(arguments[0], ir.IntType(64).as_pointer())
        pair = builder.cmpxchg(pointer, arguments[1], arguments[2], "seq_cst", "seq_cst")
        return builder.extract_value(pair, 0)

    return types.int64(types.int64, types.int64, types.int64), codegen


def _no_operations(count):
    return _repeated(count, "nop", _FLAGS)


def _repeated(count, text, clobbered):
    @intrinsic
    def run(typingctx):
        def codegen(context, builder, signature, arguments):
            kind = ir.FunctionType(ir.VoidType(), [])
            repeated = f".rept {count}\n{text}\n.endr"
            builder.asm(kind, repeated, ",".join(clobbered), [], True)
            return context.get_dummy_value()

        return types.void(), codegen

    return run


(
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
) = (_no_operations(count) for count in WINDOWS)


ZEROINGS = 800
_REGISTERS = ("eax", "ecx", "edx", "r8d") if X86 else ()
zeroings = _repeated(
    ZEROINGS // max(len(_REGISTERS), 1),
    "\n".join(f"xor %{name}, %{name}" for name in _REGISTERS) or "nop",
    [*(f"~{{{name}}}" for name in ("rax", "rcx", "rdx", "r8") if X86), *_FLAGS],
)
"""Zeroings of registers: each takes a slot of dispatch and no unit, and none is fused with another,
as no-operations are on Zen 4. Elsewhere than on x86 no-operations."""


def _stamp_text():
    if X86:
        return "lfence\nrdtsc\nlfence\nshl $$32, %rdx\nor %rdx, %rax", "={rax},~{rdx}"
    return "isb\nmrs $0, cntvct_el0\nisb", "=r"


@intrinsic
def stamp(typingctx):
    """The system's time-stamp counter, after all before it and before all after it."""

    def codegen(context, builder, signature, arguments):
        text, constraints = _stamp_text()
        kind = ir.FunctionType(ir.IntType(64), [])
        return builder.asm(kind, text, ",".join([constraints, *_FLAGS]), [], True)

    return types.int64(), codegen
