"""How long a line stays in a last level that strangers use too: the engine's one formula in reals.

What is left after a time t: 2 ** -(t / half) ** 1.5 (l3_retention of zen5_vm_measured.json: 98 %
after 1.2 ms, 80 % after 3, half after 6, a quarter after 10).
"""

import math

from llvmlite import ir
from numba import types
from numba.extending import intrinsic

from cgsim.compile.jit import JIT_DISABLED

DRAW_BITS = 53

if JIT_DISABLED:

    def share_left(age, half):
        """The share of lines left after `age`, of which half are left after `half` (same unit)."""
        halves = age / half
        return 2.0 ** -(halves * math.sqrt(halves))

    def is_left(share, draw):
        """Whether a line is left of which this share is; draw : random, of DRAW_BITS bits."""
        return draw * 2.0**-DRAW_BITS < share

else:

    @intrinsic
    def share_left(typingctx, age, half):
        """The share of lines left after `age`, of which half are left after `half` (same unit)."""

        def codegen(context, builder, signature, arguments):
            real = ir.DoubleType()
            age, half = (builder.sitofp(argument, real) for argument in arguments)
            root = builder.module.declare_intrinsic("llvm.sqrt", [real])
            power = builder.module.declare_intrinsic("llvm.pow", [real])
            halves = builder.fdiv(age, half)
            exponent = builder.fneg(builder.fmul(halves, builder.call(root, [halves])))
            return builder.call(power, [real(2.0), exponent])

        return types.float64(types.int64, types.int64), codegen

    @intrinsic
    def is_left(typingctx, share, draw):
        """Whether a line is left of which this share is; draw : random, of DRAW_BITS bits."""

        def codegen(context, builder, signature, arguments):
            real = ir.DoubleType()
            drawn = builder.fmul(builder.sitofp(arguments[1], real), real(2.0**-DRAW_BITS))
            return builder.fcmp_ordered("<", drawn, arguments[0])

        return types.boolean(types.float64, types.int64), codegen
