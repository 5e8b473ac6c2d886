"""How the engine's functions are compiled."""

import numba
from numba import config, types

from cgsim._numba_cache import cache_directory, prune

JIT_DISABLED = bool(config.DISABLE_JIT)
"""True where NUMBA_DISABLE_JIT=1 makes every kernel plain Python (to measure coverage)."""

if not JIT_DISABLED:
    _directory = cache_directory(numba.__version__)
    config.CACHE_DIR = str(_directory)
    if not _directory.exists():
        prune(_directory)


def njit(function=None, **options):
    """`numba.njit` with the cache on and the GIL released; other options pass through.

    The cache is safe because its directory is named by a hash of the sources; see
    `cgsim._numba_cache`. A function is compiled once for int64, not again for every constant that
    some caller passes: numba would make a variant of `f(x, 8)` and of `f(x, 4)`, with all that they
    call, and the compiler finds the constants anyway where it inlines.
    """
    options = {
        "cache": True, "nogil": True, "no_cfunc_wrapper": True, "error_model": "numpy", **options,
    }  # fmt: skip
    if function is None:
        return lambda inner: njit(inner, **options)
    dispatcher = numba.njit(**options)(function)
    if JIT_DISABLED:
        return dispatcher
    resolve = dispatcher.get_call_template

    def resolve_without_constants(args, kws):
        plain = {name: types.unliteral(kind) for name, kind in kws.items()}
        return resolve([types.unliteral(kind) for kind in args], plain)

    dispatcher.get_call_template = resolve_without_constants
    return dispatcher


def internal(function):
    """`njit` for what only compiled code calls: without the wrapper for Python, a tenth faster."""
    return njit(function, no_cpython_wrapper=True)


def inlined(function):
    """`internal`, and compiled into each caller by LLVM (numba's own inlining takes far longer)."""
    return njit(function, no_cpython_wrapper=True, forceinline=True)
