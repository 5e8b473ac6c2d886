"""From functions of words to LLVM code.

A function of words is plain Python that numba compiles as well. Its values are words (int64) and
truths (bool); results may be tuples of them. It consists of

* assignments and augmented assignments to local names, also of a tuple to names;
* `if`, `while`, `for` over a `range` of step 1 or -1, `break`, `continue`, `return`, `pass`;
* int and bool constants, the module's or another module's too, and `... if ... else ...`;
* `+ - * // % & | ^ << >>`, unary `-` and `~`, comparisons (chains too), `and`, `or`, `not`;
* `min` and `max`, intrinsics of numba, and other such functions, none of them recursive.

Everything else is refused. What it computes is what Python and numba compute on int64:

* Sums, differences, products and left shifts wrap around; of constants they are refused where the
  result is no int64. Numba takes for granted that they do not overflow: what may do so goes through
  `cgsim.compile.intrinsics.wrapping_sum` and `wrapping_product`.
* `//` and `%` round towards minus infinity. Where Python has no answer in int64 (division by 0, and
  of the lowest number by -1) both give 0. So does numba with its error model "numpy".
* `>>` keeps the sign. A shift by less than 0 or more than 63 is undefined, as in numba.
* A truth is 1 or 0 among words; `&`, `|` and `^` of truths, comparisons and `not` are truths, and a
  word is true unless it is 0. A name, a result and the two sides of `if ... else` hold words only
  or truths only; so `and` and `or` of words are no values, just conditions.
* A name must have been assigned on every way to where it is read; a loop may run no time at all.
* A `range` is evaluated once; whatever its body assigns to the loop's name does not change it.
"""

import ast
import builtins
import linecache
import operator
from functools import cache
from types import FunctionType, ModuleType, SimpleNamespace
from typing import NoReturn

from llvmlite import ir
from numba import types
from numba.core.extending import _Intrinsic

WORD, TRUTH = ir.IntType(64), ir.IntType(1)
_KINDS = {WORD: types.int64, TRUTH: types.boolean}
_LOWEST, _HIGHEST = -(1 << 63), (1 << 63) - 1
_NO_CONTEXT = SimpleNamespace(get_dummy_value=lambda: None)  # all of numba that intrinsics ask for
_OPERATORS = {
    ast.Add: (operator.add, "add"),
    ast.Sub: (operator.sub, "sub"),
    ast.Mult: (operator.mul, "mul"),
    ast.BitAnd: (operator.and_, "and_"),
    ast.BitOr: (operator.or_, "or_"),
    ast.BitXor: (operator.xor, "xor"),
    ast.LShift: (operator.lshift, "shl"),
    ast.RShift: (operator.rshift, "ashr"),
    ast.FloorDiv: (operator.floordiv, "sdiv"),
    ast.Mod: (operator.mod, "srem"),
}
_COMPARISONS = {
    ast.Eq: "==", ast.NotEq: "!=", ast.Lt: "<", ast.LtE: "<=", ast.Gt: ">", ast.GtE: ">=",
}  # fmt: skip


class NoWordsError(Exception):
    """A function holds what no function of words may hold."""


class NoSourceError(Exception):
    """A function's source cannot be read."""


@cache
def _definitions(path, source):
    """The functions of a file by their first line, decorators included."""
    return {
        min([node.lineno, *(decorator.lineno for decorator in node.decorator_list)]): node
        for node in ast.walk(ast.parse(source, path))
        if isinstance(node, ast.FunctionDef)
    }


def _definition(function):
    code = function.__code__
    source = "".join(linecache.getlines(code.co_filename, function.__globals__))
    found = _definitions(code.co_filename, source).get(code.co_firstlineno)
    if found is None or found.name != code.co_name:
        raise NoSourceError(f"{code.co_filename}:{code.co_firstlineno}: no source of {function}")
    return found


class WordModule:
    """An LLVM module of functions of words."""

    def __init__(self, name):
        self.ir = ir.Module(name)
        self._functions = {}

    def export(self, name, function):
        """Compile a function of words that takes and returns words, and all that it calls."""
        plain = getattr(function, "py_func", function)
        inner = self.function(function, (WORD,) * plain.__code__.co_argcount)
        outer = ir.Function(self.ir, inner.function_type, name)
        builder = ir.IRBuilder(outer.append_basic_block())
        if inner.function_type.return_type != WORD:
            raise NoWordsError(f"{plain.__qualname__} is called by address and returns no word")
        builder.ret(builder.call(inner, outer.args))

    def function(self, function, kinds):
        """The function for arguments of these kinds; compiled when first asked for."""
        plain = getattr(function, "py_func", function)
        key = plain, kinds
        if key not in self._functions:
            self._functions[key] = None
            name = self.ir.get_unique_name(f"{plain.__module__}.{plain.__qualname__}")
            made = ir.Function(self.ir, ir.FunctionType(ir.VoidType(), kinds), name)
            made.linkage = "internal"
            made.attributes.add("nounwind")
            if getattr(function, "targetoptions", {}).get("forceinline"):
                made.attributes.add("alwaysinline")
            _Body(self, plain, made).translate()
            self._functions[key] = made
        return self._functions[key]


class _Loop:
    """Where `continue` and `break` lead, and whether there is a `break`."""

    def __init__(self, again, after):
        self.again = again
        self.after = after
        self.left = False


class _Body:
    """The translation of one function's body.

    A value is an LLVM value of kind WORD or TRUTH, or a Python tuple of them. Names live in memory
    of the stack, which LLVM turns into registers.
    """

    def __init__(self, module, function, made):
        self.module = module
        self.function = function
        self.made = made
        self.builder = ir.IRBuilder(made.append_basic_block())
        self.places = {}
        self.assigned = set()
        self.loops = []
        self.returned = False

    def refuse(self, node, what) -> NoReturn:
        code = self.function.__code__
        line = getattr(node, "lineno", code.co_firstlineno)
        raise NoWordsError(f"{code.co_filename}:{line}: {what} in {self.function.__qualname__}")

    def translate(self):
        definition = _definition(self.function)
        arguments = definition.args
        if (
            arguments.posonlyargs or arguments.kwonlyargs or arguments.vararg or arguments.kwarg
            or arguments.defaults or len(arguments.args) != len(self.made.args)
        ):  # fmt: skip
            self.refuse(definition, "an argument that is not plain, or too few or many")
        if self.function.__closure__:
            self.refuse(definition, "a variable of an outer function")
        for argument, value in zip(arguments.args, self.made.args, strict=True):
            self.assign(argument, argument.arg, value)
        self.run(definition.body)
        if not self.builder.block.is_terminated:
            self.finish(definition, None)

    # --- statements ---

    def run(self, statements):
        """Translate statements up to the first one that is never reached."""
        for statement in statements:
            if self.builder.block.is_terminated:
                return
            translate = getattr(self, f"do_{type(statement).__name__}", None)
            if translate is None:
                self.refuse(statement, f"statement {type(statement).__name__}")
            translate(statement)

    def do_Pass(self, node):
        pass

    def do_Expr(self, node):
        if not (isinstance(node.value, ast.Constant) and isinstance(node.value.value, str)):
            self.result(node.value)

    def do_Assign(self, node):
        value = self.result(node.value)
        for target in node.targets:
            self.bind(target, value)

    def do_AugAssign(self, node):
        if not isinstance(node.target, ast.Name):
            self.refuse(node, "an assignment to no name")
        old = ast.copy_location(ast.Name(node.target.id, ast.Load()), node)
        self.bind(node.target, self.binary(node, self.value(old), self.value(node.value)))

    def bind(self, target, value):
        if isinstance(target, ast.Name) and isinstance(value, ir.Value):
            self.assign(target, target.id, value)
        elif isinstance(target, ast.Tuple) and isinstance(value, tuple):
            if len(target.elts) != len(value):
                self.refuse(target, "a tuple of another length")
            for name, part in zip(target.elts, value, strict=True):
                self.bind(name, part)
        else:
            self.refuse(target, "an assignment of no value or to no name")

    def assign(self, node, name, value):
        if name not in self.places:
            with self.builder.goto_entry_block():
                self.places[name] = self.builder.alloca(value.type, name=name)
        if self.places[name].type.pointee != value.type:
            self.refuse(node, f"{name}, a word here and a truth there,")
        self.builder.store(value, self.places[name])
        self.assigned.add(name)

    def do_Return(self, node):
        self.finish(node, None if node.value is None else self.result(node.value))

    def finish(self, node, value):
        """Return a value, or nothing; the first one decides what the function returns."""
        parts = value if isinstance(value, tuple) else () if value is None else (value,)
        kind = ir.VoidType()
        if parts:
            kinds = [part.type for part in parts]
            kind = ir.LiteralStructType(kinds) if isinstance(value, tuple) else kinds[0]
        if not self.returned:
            made = self.made
            made.ftype = ir.FunctionType(kind, made.ftype.args)
            made.type = made.ftype.as_pointer()
            made.return_value = ir.ReturnValue(made, kind)
            self.returned = True
        elif self.made.ftype.return_type != kind:
            self.refuse(node, "results of different kinds")
        if not parts:
            self.builder.ret_void()
        elif isinstance(value, tuple):
            packed = ir.Constant(kind, ir.Undefined)
            for number, part in enumerate(parts):
                packed = self.builder.insert_value(packed, part, number)
            self.builder.ret(packed)
        else:
            self.builder.ret(value)

    def do_If(self, node):
        yes, no = self.block("then"), self.block("else")
        self.branch(node.test, yes, no)
        before = set(self.assigned)
        ends = []
        for block, statements in ((yes, node.body), (no, node.orelse)):
            self.builder.position_at_end(block)
            self.assigned = set(before)
            self.run(statements)
            if not self.builder.block.is_terminated:
                ends.append((self.builder.block, self.assigned))
        if ends:  # else what follows is never reached
            after = self.block("after")
            for block, _ in ends:
                self.builder.position_at_end(block)
                self.builder.branch(after)
            self.assigned = set.intersection(*(assigned for _, assigned in ends))
            self.builder.position_at_end(after)

    def do_While(self, node):
        again, inside, after = self.block("while"), self.block("do"), self.block("done")
        self.builder.branch(again)
        self.builder.position_at_end(again)
        endless = isinstance(node.test, ast.Constant) and node.test.value is True
        if endless:
            self.builder.branch(inside)
        else:
            self.branch(node.test, inside, after)
        self.loop(node, again, inside, after, endless)

    def do_For(self, node):
        call = node.iter
        if not (
            isinstance(call, ast.Call)
            and isinstance(call.func, ast.Name)
            and self.named(call.func) is range
            and not call.keywords
            and isinstance(node.target, ast.Name)
        ):
            self.refuse(node, "a loop over something else than a range")
        bounds = [self.word(argument) for argument in call.args]
        start = bounds[0] if len(bounds) > 1 else WORD(0)
        stop = bounds[min(1, len(bounds) - 1)]
        step = bounds[2] if len(bounds) > 2 else WORD(1)
        if not isinstance(step, ir.Constant) or step.constant not in (1, -1):
            self.refuse(node, "a range of a step other than 1 and -1")
        with self.builder.goto_entry_block():
            counter = self.builder.alloca(WORD)
        self.builder.store(start, counter)
        check, inside, again, after = map(self.block, ("for", "do", "next", "done"))
        self.builder.branch(check)
        self.builder.position_at_end(check)
        number = self.builder.load(counter)
        more = self.builder.icmp_signed("<" if step.constant > 0 else ">", number, stop)
        self.builder.cbranch(more, inside, after)
        self.builder.position_at_end(again)
        self.builder.store(self.builder.add(self.builder.load(counter), step), counter)
        self.builder.branch(check)
        self.loop(node, again, inside, after, False, number)

    def loop(self, node, again, inside, after, endless, number=None):
        if node.orelse:
            self.refuse(node, "a loop's else")
        before = set(self.assigned)
        self.builder.position_at_end(inside)
        if number is not None:
            self.bind(node.target, number)
        self.loops.append(_Loop(again, after))
        self.run(node.body)
        left = self.loops.pop().left
        if not self.builder.block.is_terminated:
            self.builder.branch(again)
        self.assigned = before
        if endless and not left:
            self.made.blocks.remove(after)  # never reached, as what follows
        else:
            self.builder.position_at_end(after)

    def do_Continue(self, node):
        self.builder.branch(self.loops[-1].again)

    def do_Break(self, node):
        self.loops[-1].left = True
        self.builder.branch(self.loops[-1].after)

    # --- conditions ---

    def block(self, name):
        return self.made.append_basic_block(name)

    def branch(self, node, yes, no, truths_only=False):
        """Go to `yes` or `no`; operands of `and` and `or` that decide nothing are not evaluated."""
        if isinstance(node, ast.BoolOp):
            for operand in node.values[:-1]:
                more = self.block("more")
                ways = (more, no) if isinstance(node.op, ast.And) else (yes, more)
                self.branch(operand, *ways, truths_only)
                self.builder.position_at_end(more)
            self.branch(node.values[-1], yes, no, truths_only)
        elif isinstance(node, ast.UnaryOp) and isinstance(node.op, ast.Not):
            self.branch(node.operand, no, yes)
        elif isinstance(node, ast.Compare):
            left = self.word(node.left)
            for number, (how, right_node) in enumerate(
                zip(node.ops, node.comparators, strict=True), 1
            ):
                right = self.word(right_node)
                if type(how) not in _COMPARISONS:
                    self.refuse(node, f"comparison {type(how).__name__}")
                more = self.block("more") if number < len(node.ops) else yes
                holds = self.builder.icmp_signed(_COMPARISONS[type(how)], left, right)
                self.builder.cbranch(holds, more, no)
                self.builder.position_at_end(more)
                left = right
        else:
            value = self.value(node)
            if truths_only and value.type != TRUTH:
                self.refuse(node, "the value of `and` or `or` of words")
            self.builder.cbranch(self.truth(value), yes, no)

    def choice(self, node, yes, no, truths_only=False):
        """A value that depends on a condition; yes, no : functions that make it."""
        blocks = self.block("yes"), self.block("no")
        self.branch(node, *blocks, truths_only)
        ends = []
        for block, make in zip(blocks, (yes, no), strict=True):
            self.builder.position_at_end(block)
            ends.append((make(), self.builder.block))
        if ends[0][0].type != ends[1][0].type:
            self.refuse(node, "a value that is a word or a truth")
        after = self.block("chosen")
        for _, block in ends:
            self.builder.position_at_end(block)
            self.builder.branch(after)
        self.builder.position_at_end(after)
        chosen = self.builder.phi(ends[0][0].type)
        for value, block in ends:
            chosen.add_incoming(value, block)
        return chosen

    # --- values ---

    def value(self, node):
        """A word or a truth."""
        value = self.result(node)
        if not isinstance(value, ir.Value):
            self.refuse(node, "a tuple or nothing where a value is needed")
        return value

    def word(self, node):
        return self.widened(self.value(node))

    def widened(self, value):
        """A truth as a word."""
        if value.type == WORD:
            return value
        if isinstance(value, ir.Constant):
            return WORD(value.constant)
        return self.builder.zext(value, WORD)

    def truth(self, value):
        return value if value.type == TRUTH else self.builder.icmp_signed("!=", value, WORD(0))

    def result(self, node):
        """A value, a tuple of values, or None: of a function that returns nothing."""
        translate = getattr(self, f"of_{type(node).__name__}", None)
        if translate is None:
            self.refuse(node, f"expression {type(node).__name__}")
        return translate(node)

    def constant(self, node, number):
        if isinstance(number, bool):
            return TRUTH(int(number))
        if not isinstance(number, int) or not _LOWEST <= number <= _HIGHEST:
            self.refuse(node, f"{number!r}, which is no int64,")
        return WORD(int(number))

    def of_Constant(self, node):
        return self.constant(node, node.value)

    def of_Name(self, node):
        if node.id in self.function.__code__.co_varnames:
            if node.id not in self.assigned:
                self.refuse(node, f"{node.id}, which may have no value here,")
            return self.builder.load(self.places[node.id])
        return self.constant(node, self.named(node))

    def of_Attribute(self, node):
        return self.constant(node, self.named(node))

    def named(self, node):
        """What a global name, or a name in a module, stands for."""
        if isinstance(node, ast.Attribute):
            module = self.named(node.value)
            if isinstance(module, ModuleType) and hasattr(module, node.attr):
                return getattr(module, node.attr)
        elif isinstance(node, ast.Name) and node.id not in self.function.__code__.co_varnames:
            for names in (self.function.__globals__, vars(builtins)):
                if node.id in names:
                    return names[node.id]
        self.refuse(node, f"`{ast.unparse(node)}`, which is no global name,")

    def of_Tuple(self, node):
        return tuple(self.value(element) for element in node.elts)

    def of_Subscript(self, node):
        value = self.result(node.value)
        index = node.slice.value if isinstance(node.slice, ast.Constant) else None
        if isinstance(value, tuple) and isinstance(index, int) and 0 <= index < len(value):
            return value[index]
        self.refuse(node, "an index that is no constant or of no tuple")

    def of_BoolOp(self, node):
        return self.choice(node, lambda: TRUTH(1), lambda: TRUTH(0), truths_only=True)

    def of_Compare(self, node):
        if len(node.ops) > 1:
            return self.of_BoolOp(node)
        if type(node.ops[0]) not in _COMPARISONS:
            self.refuse(node, f"comparison {type(node.ops[0]).__name__}")
        left, right = self.word(node.left), self.word(node.comparators[0])
        return self.builder.icmp_signed(_COMPARISONS[type(node.ops[0])], left, right)

    def of_IfExp(self, node):
        return self.choice(
            node.test, lambda: self.value(node.body), lambda: self.value(node.orelse)
        )

    def of_UnaryOp(self, node):
        value = self.value(node.operand)
        if isinstance(node.op, ast.Not):
            return self.builder.not_(self.truth(value))
        if value.type != WORD or isinstance(node.op, ast.UAdd):
            self.refuse(node, f"{type(node.op).__name__} of a truth, or unary plus,")
        if isinstance(value, ir.Constant):
            number = value.constant
            return self.constant(node, ~number if isinstance(node.op, ast.Invert) else -number)
        return (
            self.builder.not_(value) if isinstance(node.op, ast.Invert) else self.builder.neg(value)
        )

    def of_BinOp(self, node):
        return self.binary(node, self.value(node.left), self.value(node.right))

    def binary(self, node, left, right):
        if type(node.op) not in _OPERATORS:
            self.refuse(node, f"operator {type(node.op).__name__}")
        compute, instruction = _OPERATORS[type(node.op)]
        bitwise = isinstance(node.op, (ast.BitAnd, ast.BitOr, ast.BitXor))
        if not (bitwise and left.type == right.type == TRUTH):
            left, right = self.widened(left), self.widened(right)
        number = right.constant if isinstance(right, ir.Constant) else None
        if instruction in ("shl", "ashr") and number is not None and not 0 <= number < 64:
            self.refuse(node, f"a shift by {number}")
        if instruction in ("sdiv", "srem"):
            if number == 0:
                self.refuse(node, "a division by 0")
            if number is None or number == -1:
                return self.divided(node, left, right)
        if isinstance(left, ir.Constant) and number is not None and left.type == WORD:
            return self.constant(node, compute(left.constant, number))
        if instruction in ("sdiv", "srem"):
            return self.floored(instruction, left, right)
        return getattr(self.builder, instruction)(left, right)

    def divided(self, node, left, right):
        """A division by what may be 0, or -1."""
        build = self.builder
        lowest = build.icmp_signed("==", left, WORD(_LOWEST))
        overflow = build.and_(lowest, build.icmp_signed("==", right, WORD(-1)))
        bad = build.or_(overflow, build.icmp_signed("==", right, WORD(0)))
        safe = build.select(bad, WORD(1), right)
        return build.select(bad, WORD(0), self.floored(_OPERATORS[type(node.op)][1], left, safe))

    def floored(self, instruction, left, right):
        """The processor rounds towards 0; Python towards minus infinity."""
        build = self.builder
        rest = build.srem(left, right)
        inexact = build.icmp_signed("!=", rest, WORD(0))
        opposite = build.icmp_signed("<", build.xor(rest, right), WORD(0))
        off = build.and_(inexact, opposite)
        if instruction == "srem":
            return build.add(rest, build.select(off, right, WORD(0)))
        return build.sub(build.sdiv(left, right), build.zext(off, WORD))

    def of_Call(self, node):
        if node.keywords:
            self.refuse(node, "a call with names of arguments")
        called = self.named(node.func)
        arguments = [self.value(argument) for argument in node.args]
        if called in (min, max):
            return self.extreme(node, "<" if called is min else ">", arguments)
        if isinstance(called, _Intrinsic):
            return self.intrinsic(node, called, arguments)
        if not isinstance(getattr(called, "py_func", called), FunctionType):
            self.refuse(node, f"a call of {called!r}")
        function = self.module.function(called, tuple(value.type for value in arguments))
        if function is None:
            self.refuse(node, "a recursive call")
        result = self.builder.call(function, arguments)
        if isinstance(result.type, ir.LiteralStructType):
            count = len(result.type.elements)
            return tuple(self.builder.extract_value(result, number) for number in range(count))
        return result if isinstance(result.type, ir.IntType) else None

    def extreme(self, node, how, arguments):
        if len(arguments) < 2 or any(value.type != WORD for value in arguments):
            self.refuse(node, "min or max of less than two words")
        found = arguments[0]
        for value in arguments[1:]:
            better = self.builder.icmp_signed(how, value, found)
            found = self.builder.select(better, value, found)
        return found

    def intrinsic(self, node, called, arguments):
        found = called._defn(None, *(_KINDS[value.type] for value in arguments))
        if found is None or not set(found[0].args) <= set(_KINDS.values()):
            self.refuse(node, f"an intrinsic of other than words, {called},")
        signature, emit = found
        given = [
            self.widened(value) if kind == types.int64 else self.truth(value)
            for kind, value in zip(signature.args, arguments, strict=True)
        ]
        result = emit(_NO_CONTEXT, self.builder, signature, given)
        if signature.return_type == types.void:
            return None
        if signature.return_type not in _KINDS.values():
            self.refuse(node, f"an intrinsic that returns no word, {called},")
        return result
