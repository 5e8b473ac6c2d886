"""Functions of words, compiled straight to machine code and kept on disk.

For functions of the kind that `cgsim.core.word_code` describes, numba's inference of types and its
general code take most of the time that compiling them takes. Their source is enough: all that an
entry point calls becomes one LLVM module, which is optimised once, for the same processor and with
the same settings as numba's code. The functions stay plain Python for numba, which compiles those
that other compiled code takes in, and all of them where it is asked to (`ENABLED`).
"""

import contextlib
import hashlib
import os
import tempfile
import threading
from pathlib import Path

import llvmlite
import llvmlite.binding as llvm
from numba import config
from numba.core.codegen import get_host_cpu_features
from numba.core.llvm_bindings import create_pass_builder

from cgsim.compile.jit import DIRECTORY, JIT_DISABLED
from cgsim.core.word_code import NoSourceError, WordModule

ENABLED = not (JIT_DISABLED or config.BOUNDSCHECK or os.environ.get("CGSIM_WORDS") == "0")
"""False where numba compiles functions of words too: with CGSIM_WORDS=0 or array bounds checked."""

_lock = threading.Lock()
_engines: list = []  # what was loaded stays


def is_cached(name):
    """Whether `addresses` finds machine code of this name on disk."""
    return ENABLED and _read(_path(name)) is not None


def addresses(name, functions):
    """Raw addresses of functions of words that take and return words, by their names.

    name : under which their machine code is kept on disk. functions : by name. Returns None where
    numba is to compile them: it is asked to, or a source cannot be read. Raises NoWordsError for
    what is no function of words.
    """
    if not ENABLED:
        return None
    with _lock:
        path = _path(name)
        code = _read(path)
        if code is None:
            try:
                code = machine_code(functions)
            except NoSourceError:
                return None
            _write(path, code)
        return load(code, functions)


def machine_code(functions):
    """The object file of functions of words (by name) and of all that they call."""
    module = WordModule("words")
    for name, function in functions.items():
        module.export(name, function)
    machine = _target_machine()
    module.ir.triple = machine.triple
    module.ir.data_layout = str(machine.target_data)
    code = llvm.parse_assembly(str(module.ir))
    code.verify()
    # the options of numba.core.codegen, whose code this stands in for
    builder = create_pass_builder(machine, config.OPT, config.LOOP_VECTORIZE, config.SLP_VECTORIZE)
    builder.getModulePassManager().run(code, builder)
    return machine.emit_object(code)


def load(code, names):
    """Raw addresses of functions in an object file, by their names."""
    engine = llvm.create_mcjit_compiler(llvm.parse_assembly(""), _target_machine())
    engine.add_object_file(llvm.ObjectFileRef.from_data(code))
    engine.finalize_object()
    _engines.append(engine)
    return {name: engine.get_function_address(name) for name in names}


def _cpu():
    """The processor's name and features, as numba takes them."""
    name = config.CPU_NAME or llvm.get_host_cpu_name()
    features = config.CPU_FEATURES
    return name, get_host_cpu_features() if features is None else features


def _target_machine():
    llvm.initialize_native_target()
    llvm.initialize_native_asmprinter()
    name, features = _cpu()
    target = llvm.Target.from_triple(llvm.get_process_triple())
    return target.create_target_machine(
        cpu=name,
        features=features,
        opt=config.OPT,
        reloc="static" if target.name.startswith("x86") else "default",
        codemodel="jitdefault",
        jit=True,
    )


def _path(name):
    """The directory's name has the sources' hash, the file's the compiler's and the processor's."""
    facts = (llvmlite.__version__, llvm.get_process_triple(), *_cpu())
    return DIRECTORY / f"{name}-{hashlib.sha256(repr(facts).encode()).hexdigest()[:16]}.o"


def _read(path):
    """A file's machine code; None if there is none, or not all of it."""
    with contextlib.suppress(OSError):
        data = path.read_bytes()
        if hashlib.sha256(data[32:]).digest() == data[:32]:
            return data[32:]
    return None


def _write(path, code):
    """Write a file if that is possible, elsewhere first: no process ever sees half of it."""
    with contextlib.suppress(OSError):
        path.parent.mkdir(parents=True, exist_ok=True)
        with tempfile.TemporaryDirectory(dir=path.parent) as aside:
            file = Path(aside, path.name)
            file.write_bytes(hashlib.sha256(code).digest() + code)
            file.replace(path)
