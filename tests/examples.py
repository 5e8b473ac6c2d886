"""How many examples a property is tried with."""

from cgsim.compile.jit import JIT_DISABLED


def examples(many: int) -> int:
    """As many, or an eighth where the compiler is off (`make coverage`): all is slower there."""
    return max(many // 8, 3) if JIT_DISABLED else many
