"""How the engine's functions are compiled.

Numba optimises every function and makes machine code of it, then takes the code into each caller
and optimises it there again, level by level. What only compiled code calls is a part here: it goes
into its callers as it was lowered, so that the compiler works through a tree of calls once, at the
function that Python calls. Numba's own passes are cut down to those that such functions need.
"""

from types import CodeType, FunctionType

import llvmlite.binding as llvm
import numba
from numba import config, types
from numba.core import typed_passes, untyped_passes
from numba.core.caching import FunctionCache
from numba.core.codegen import JITCodeLibrary
from numba.core.compiler import Compiler
from numba.core.compiler_lock import require_global_compiler_lock
from numba.core.compiler_machinery import PassManager
from numba.core.runtime import rtsys

from cgsim.compile.cache import cache_directory, prune

JIT_DISABLED = bool(config.DISABLE_JIT)
"""True where NUMBA_DISABLE_JIT=1 makes every kernel plain Python (to measure coverage)."""

DIRECTORY = cache_directory(numba.__version__)
"""Where compiled code is kept."""

if not JIT_DISABLED:
    config.CACHE_DIR = str(DIRECTORY)
    if not DIRECTORY.exists():
        prune(DIRECTORY)


_PASSES = (
    untyped_passes.TranslateByteCode,
    untyped_passes.FixupArgs,
    untyped_passes.IRProcessing,
    untyped_passes.DeadBranchPrune,  # where an argument is None
    untyped_passes.GenericRewrites,
    untyped_passes.ReconstructSSA,
    typed_passes.NopythonTypeInference,
    typed_passes.PreLowerStripPhis,
    typed_passes.InlineOverloads,
    typed_passes.IRLegalization,
    typed_passes.NativeLowering,
    typed_passes.NoPythonBackend,
)
"""Numba's passes without those for closures, contexts, array expressions and literal arguments."""

_ENVIRONMENT = "_ZN08NumbaEnv"


class _PartLibrary(JITCodeLibrary):
    """A part's code: for its callers as it was lowered, without machine code of its own.

    The final module, which numba hands to the execution engine and to the cache as machine code,
    holds only the pointer to the function's environment, which numba sets whenever it loads one.
    """

    _final_module: llvm.ModuleRef

    def _optimize_functions(self, ll_module):
        ll_module.data_layout = self._codegen._data_layout
        passes, builder = self._codegen._function_pass_manager()
        for function in ll_module.functions:
            if not function.is_declaration:
                passes.run(function, builder)

    def finalize(self):
        """Link the callees in, as `CPUCodeLibrary.finalize` does, and leave it at that."""
        require_global_compiler_lock()
        self._raise_if_finalized()
        code = self._final_module
        environments = [
            variable.name
            for variable in code.global_variables
            if variable.name.startswith(_ENVIRONMENT)
        ]
        for library in dict.fromkeys(self._linking_libraries):
            self._reload_init.update(library._reload_init)
            code.link_in(library._get_module_for_linking(), preserve=True)
        for function in code.functions:
            if not function.is_declaration and function.linkage == llvm.Linkage.external:
                function.linkage = "linkonce_odr"
        code.verify()
        self._shared_module = code
        empty = str(self._codegen._create_empty_module(self.name))
        pointers = [f'@"{name}" = common global i8* null\n' for name in environments]
        self._final_module = llvm.parse_assembly(empty + "".join(pointers))
        self._final_module.name = code.name
        self._finalize_final_module()

    def _finalize_dynamic_globals(self):
        for variable in self._shared_module.global_variables:
            if variable.name.startswith("numba.dynamic.globals"):
                self._dynamic_globals.append(variable.name)


class PartCompiler(Compiler):
    """Numba's compiler for parts."""

    def compile_extra(self, func):
        self.state.library = _PartLibrary(self.state.targetctx.codegen(), func.__qualname__)
        self.state.library.enable_object_caching()
        return super().compile_extra(func)

    def define_pipelines(self):
        if any(isinstance(c, CodeType) for c in self.state.func_id.code.co_consts):
            return super().define_pipelines()  # a closure or a comprehension
        passes = PassManager("part")
        for stage in _PASSES:
            passes.add_pass(stage, stage.__name__)
        passes.finalize()
        return [passes]


PART = {"no_cpython_wrapper": True, "no_cfunc_wrapper": True, "pipeline_class": PartCompiler}
"""Options for numba's decorators, `overload` among them: the function is a part."""


def njit(function=None, **options):
    """`numba.njit` with the cache on and the GIL released; other options pass through.

    Python calls it as any compiled function; compiled code gets a part of the same source.

    The cache is safe because its directory is named by a hash of the sources; see
    `cgsim.compile.cache`. A function is compiled once for int64, not again for every constant that
    some caller passes: numba would make a variant of `f(x, 8)` and of `f(x, 4)`, with all that they
    call, and the compiler finds the constants anyway where it inlines.
    """
    options = {"nogil": True, "no_cfunc_wrapper": True, "error_model": "numpy", **options}
    if function is None:
        return lambda inner: njit(inner, **options)
    dispatcher = numba.njit(**options)(function)
    if JIT_DISABLED:
        return dispatcher
    _cache_on_disk(dispatcher)
    part = None

    def as_part():
        nonlocal part
        if part is None:
            part = _cache_on_disk(_part(_renamed(function), **options))
        return part

    dispatcher.get_call_template = lambda args, kws: as_part().get_call_template(args, kws)
    dispatcher.get_overload = lambda signature: as_part().get_overload(signature)
    return dispatcher


def internal(function):
    """A part that is not kept on disk by itself: what it goes into is."""
    return _part(function, nogil=True)


def inlined(function):
    """A part that LLVM takes into each caller (numba's own inlining takes far longer).

    So are all parts on the engine's usual ways, whatever their size: LLVM would call large ones.
    """
    return _cache_on_disk(_part(function, nogil=True, forceinline=True))


class _Cache(FunctionCache):
    """Numba's cache. To load from it starts numba's runtime, but not all of its compiler.

    The compiler imports numba's implementation of all that it knows, parts of scipy for it; what is
    compiled needs only what the runtime and the code itself name.
    """

    def load_overload(self, sig, target_context):
        """The compiled function for a signature, None if it is not in the cache."""
        rtsys.initialize(target_context)
        with self._guard_against_spurious_io_errors():
            return self._load_overload(sig, target_context)
        return None


def _cache_on_disk(dispatcher):
    """As numba's option `cache`, but from the first use on: most functions have none."""
    if JIT_DISABLED:
        return dispatcher
    compile_now = dispatcher.compile

    def compile_first(signature):
        dispatcher._cache = _Cache(dispatcher.py_func)
        dispatcher.compile = compile_now
        return compile_now(signature)

    dispatcher.compile = compile_first
    return dispatcher


def _part(function, **options):
    if JIT_DISABLED:
        return numba.njit(function)
    dispatcher = numba.njit(**{**options, **PART, "error_model": "numpy"})(function)
    resolve = dispatcher.get_call_template

    def resolve_without_constants(args, kws):
        plain = {name: types.unliteral(kind) for name, kind in kws.items()}
        return resolve([types.unliteral(kind) for kind in args], plain)

    dispatcher.get_call_template = resolve_without_constants
    return dispatcher


def _renamed(function):
    """A copy under another name: numba caches by name, and the two are compiled differently."""
    copy = FunctionType(
        function.__code__,
        function.__globals__,
        function.__name__,
        function.__defaults__,
        function.__closure__,
    )
    copy.__kwdefaults__ = function.__kwdefaults__
    copy.__module__ = function.__module__
    copy.__qualname__ = f"{function.__qualname__}.part"
    return copy
