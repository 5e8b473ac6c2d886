"""All that cgsim uses of numba beyond its public interface, each with what breaks when it changes.

* `Part`, for functions that only compiled code calls. Numba optimises every function and makes
  machine code of it, then takes the code into each caller and optimises it there again, level by
  level. A part goes into its callers as it was lowered, so that the compiler works through a tree
  of calls once, at the function that Python calls. Without parts, what a report compiles of two
  designs takes 40 s of CPU instead of 28.
  It rests on the compiler's hook for its code library (`Compiler.compile_extra`) and on how a
  `JITCodeLibrary` links, optimises and hands over its module. If those change, compiling fails
  with an AttributeError, or a part's symbols are defined twice and LLVM refuses them: nothing
  compiles, nothing is silently wrong. Then `PART` without `pipeline_class` is the way out.
* `keep_on_disk`, for `cgsim.compile.cache`: numba's own cache falls back to `__pycache__`,
  unpickles whatever it finds, and fails where it cannot write. It rests on a dispatcher's `_cache`
  with its two methods, and on a compiled function's `_reduce` and `_rebuild`. If those change, the
  first call fails with an AttributeError, or nothing is found in the cache any more.
* `without_constants`: numba would compile `f(x, 8)` and `f(x, 4)` apart, with all that they call,
  though LLVM finds the constants anyway where it inlines. It rests on `get_call_template`, by
  which a caller asks a dispatcher for its types. If that goes, more is compiled than needed.
* `function_address`: `cfunc(...).address` would do the same with a copy of all that several
  entry points share in each of them, and another call around each: lookups that miss take about a
  tenth longer. It rests on the calling convention's objects in a context. If those change, the
  engine fails to compile.
"""

import hashlib
import pickle
import sys
from functools import cache

import llvmlite
import llvmlite.binding as llvm
from llvmlite import ir
from numba import config, types
from numba.core import serialize
from numba.core.codegen import JITCodeLibrary
from numba.core.compiler import Compiler, CompileResult
from numba.core.runtime import rtsys
from numba.extending import intrinsic

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


class Part(Compiler):
    """Numba's compiler for parts."""

    def compile_extra(self, func):
        self.state.library = _PartLibrary(self.state.targetctx.codegen(), func.__qualname__)
        self.state.library.enable_object_caching()
        return super().compile_extra(func)


PART = {"no_cpython_wrapper": True, "no_cfunc_wrapper": True, "pipeline_class": Part}
"""Options for numba's decorators, `overload` among them: the function is a part."""


def without_constants(dispatcher):
    """Let callers compile a function for int64, not again for every constant that they pass."""
    resolve = dispatcher.get_call_template

    def resolve_without_constants(args, kws):
        plain = {name: types.unliteral(kind) for name, kind in kws.items()}
        return resolve([types.unliteral(kind) for kind in args], plain)

    dispatcher.get_call_template = resolve_without_constants
    return dispatcher


def compile_as_part_in_callers(dispatcher, part):
    """Let Python call a function, and compiled code the dispatcher that `part()` returns."""
    dispatcher.get_call_template = lambda args, kws: part().get_call_template(args, kws)
    dispatcher.get_overload = lambda signature: part().get_overload(signature)
    return dispatcher


def keep_on_disk(dispatcher, store, variant=""):
    """As numba's option `cache`, in a `CodeStore`. variant : of two that are compiled differently.

    To load from it starts numba's runtime, but not all of its compiler, which imports numba's
    implementation of all that it knows; what is compiled needs only what the code itself names.
    """
    dispatcher._cache = _StoredFunction(dispatcher.py_func, store, variant)
    return dispatcher


class _StoredFunction:
    """What a dispatcher asks for compiled code, and gives what it has compiled."""

    def __init__(self, function, store, variant):
        self._store = store
        code = function.__code__
        module = function.__module__.removeprefix("cgsim.")
        self._name = f"{module}.{function.__qualname__}{variant}-{code.co_firstlineno}"

    def load_overload(self, signature, target_context):
        """The compiled function for a signature, None if it is not in the store."""
        content = self._store.read(self._file(signature))
        if content is None:
            self._store.miss()
            return None
        rtsys.initialize(target_context)
        try:
            stored, reduced = pickle.loads(content)
            if stored == signature:
                return CompileResult._rebuild(target_context, *reduced)
        except (AttributeError, ImportError, LookupError, TypeError, ValueError, RuntimeError):
            pass  # written by other packages than those that are installed now
        return None

    def save_overload(self, signature, compiled):
        """Keep a compiled function, unless an address of this process stands in it."""
        if not compiled.library.has_dynamic_globals:
            content = serialize.dumps((signature, compiled._reduce()))
            self._store.write(self._file(signature), content)

    def _file(self, signature):
        arguments = ",".join(_described(kind) for kind in getattr(signature, "args", signature))
        key = hashlib.sha256(f"{_host()};{arguments}".encode()).hexdigest()[:16]
        return f"{self._name}-{key}"


@cache
def _host():
    """What machine code hangs on besides the sources, the compiler and its settings."""
    features = config.CPU_FEATURES
    return ";".join(
        (
            sys.implementation.cache_tag,
            llvmlite.__version__,
            llvm.get_process_triple(),
            config.CPU_NAME or llvm.get_host_cpu_name(),
            llvm.get_host_cpu_features().flatten() if features is None else features,
        )
    )


def _described(kind):
    """A type's text, with the modules of the NamedTuples in it, which numba leaves out."""
    named = getattr(kind, "instance_class", None)
    inner = ",".join(_described(item) for item in kind) if named is not None else str(kind)
    return f"{named.__module__}.{named.__qualname__}({inner})" if named is not None else inner


@intrinsic
def function_address(typingctx, function):
    """The address of a C function: a compiled part of int64 that returns int64.

    It lives as long as the code that asks for it, of which it becomes a part.
    """
    dispatcher = function.dispatcher
    arguments = [types.int64] * dispatcher.py_func.__code__.co_argcount
    compiled = dispatcher.get_compile_result(types.int64(*arguments))

    def codegen(context, builder, signature, _):
        context.active_code_library.add_linking_library(compiled.library)
        word = ir.IntType(64)
        kind = ir.FunctionType(word, [word] * len(arguments))
        plain = ir.Function(builder.module, kind, f"plain.{compiled.fndesc.mangled_name}")
        plain.linkage = "internal"
        inner = ir.IRBuilder(plain.append_basic_block())
        callee = context.declare_function(builder.module, compiled.fndesc)
        _, result = context.call_conv.call_function(
            inner, callee, types.int64, arguments, plain.args
        )
        inner.ret(result)
        return builder.ptrtoint(plain, word)

    return types.int64(function), codegen
