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


def _asm(kind, text, constraints, builder, arguments=()):
    constraints = ",".join([*constraints, *_FLAGS])
    return builder.asm(kind, text, constraints, list(arguments), True)


@intrinsic
def here(typingctx):
    """The address of this very instruction."""

    def codegen(context, builder, signature, arguments):
        text = "lea 0(%rip), $0" if X86 else "adr $0, ."
        return _asm(ir.FunctionType(ir.IntType(64), []), text, ["=r"], builder)

    return types.int64(), codegen


@intrinsic
def flush_line(typingctx, address):
    """Put the line at an address out of all caches, those of instructions too."""

    def codegen(context, builder, signature, arguments):
        text = "clflush ($0)" if X86 else "dc civac, $0\nic ivau, $0"
        kind = ir.FunctionType(ir.VoidType(), [ir.IntType(64)])
        _asm(kind, text, ["r", "~{memory}"], builder, arguments)
        return context.get_dummy_value()

    return types.void(types.int64), codegen


@intrinsic
def barrier(typingctx):
    """Nothing after it begins before all before it is done, flushes included."""

    def codegen(context, builder, signature, arguments):
        text = "mfence\nlfence" if X86 else "dsb ish\nisb"
        _asm(ir.FunctionType(ir.VoidType(), []), text, ["~{memory}"], builder)
        return context.get_dummy_value()

    return types.void(), codegen


# Both step over the red zone, where compiled code may keep values below the stack pointer.
_DIRECT = """lea -128(%rsp), %rsp
call 71f
jmp 72f
71: ret
72: lea 128(%rsp), %rsp"""
_RETPOLINE = """lea -128(%rsp), %rsp
lea 73f(%rip), %rax
call 72f
71: pause
lfence
jmp 71b
72: mov %rax, (%rsp)
ret
73: lea 128(%rsp), %rsp"""


PADDING_BYTES = 4096
_FAR_JUMP = f"jmp 75f\n.skip {PADDING_BYTES}, 0xcc\n75:"


def _call(text):
    @intrinsic
    def run(typingctx):
        def codegen(context, builder, signature, arguments):
            kind = ir.FunctionType(ir.VoidType(), [])
            _asm(kind, text if X86 else "nop", ["~{rax}", "~{memory}"] if X86 else [], builder)
            return context.get_dummy_value()

        return types.void(), codegen

    return run


direct_call = _call(_DIRECT)
"""A call and its return; a no-operation elsewhere than on x86."""
retpoline = _call(_RETPOLINE)
"""An indirect jump as the kernel makes it against Spectre v2 (arch/x86/lib/retpoline.S)."""
far_jump = _call(_FAR_JUMP)
"""A jump over `PADDING_BYTES` that never run: what follows shares no line with what is before."""
