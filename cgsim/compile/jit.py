"""How the engine's functions are compiled: numba's decorators with cgsim's options and cache.

What only compiled code calls is a part (`internal`, `inlined`), which goes into its callers as it
was lowered; what Python calls (`njit`) is optimised there, once, with all that it calls.
"""

import numba

from cgsim.compile import numba_internals
from cgsim.compile.cache import open_store
from cgsim.compile.numba_internals import PART

JIT_DISABLED = bool(numba.config.DISABLE_JIT)
"""True where NUMBA_DISABLE_JIT=1 leaves every function plain Python (to measure coverage)."""

STORE = open_store()
"""Where compiled code is kept."""

_OPTIONS = {"nogil": True, "no_cfunc_wrapper": True, "error_model": "numpy"}


def njit(function=None, **options):
    """`numba.njit` with the GIL released and what it compiles kept; other options pass through.

    Python calls it as any compiled function; compiled code gets a part of the same source.
    """
    if function is None:
        return lambda inner: njit(inner, **options)
    dispatcher = numba.njit(**{**_OPTIONS, **options})(function)
    if JIT_DISABLED:
        return dispatcher
    part = None

    def as_part():
        nonlocal part
        if part is None:
            part = _kept(_part(function, **options), ".part")
        return part

    return numba_internals.compile_as_part_in_callers(_kept(dispatcher), as_part)


def internal(function):
    """A part that is not kept on disk by itself: what it goes into is."""
    return _part(function)


def inlined(function):
    """A part that LLVM takes into each caller (numba's own inlining takes far longer).

    So are all parts on the engine's usual ways, whatever their size: LLVM would call large ones.
    """
    return _kept(_part(function, forceinline=True))


def _part(function, **options):
    if JIT_DISABLED:
        return numba.njit(function)
    dispatcher = numba.njit(**{**_OPTIONS, **options, **PART})(function)
    return numba_internals.without_constants(dispatcher)


def _kept(dispatcher, variant=""):
    """Kept on disk, if the directory's name changes with all that the function hangs on."""
    function = dispatcher if JIT_DISABLED else dispatcher.py_func
    ours = function.__module__.partition(".")[0] == "cgsim" and function.__closure__ is None
    if JIT_DISABLED or not ours:
        return dispatcher
    return numba_internals.keep_on_disk(dispatcher, STORE, variant)
