"""From a protocol's source to rows of operations on virtual registers.

What it takes of Python: functions with plain parameters, `=`, `+=`, `-=`, `if`, `while`, `for` over
a constant tuple (unrolled), `break`, `continue`, `return`, `pass`, `and`, `or`, `not`, one
comparison at a time, `+`, `-`, words of objects (`x.word`), their slots (`x[i]`), and calls: of
primitives, or of other protocol functions, which are inlined. Anything else is refused by name.
"""

from __future__ import annotations

import ast
import inspect
import textwrap
from dataclasses import dataclass, field
from functools import cache
from typing import TYPE_CHECKING, Any

from cgsim.errors import UserError
from cgsim.interface.checker import engine
from cgsim.interface.checker.language import PROPERTIES, Kind, Primitive, Static
from cgsim.interface.checker.rows import Label, Register, Row, Word
from cgsim.interface.checker.wording import Wording

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping, Sequence


@cache
def _definition(function: Callable[..., Any]) -> tuple[ast.FunctionDef, int]:
    """A function's syntax tree and the line it begins at."""
    lines, first = inspect.getsourcelines(function)
    (node,) = ast.parse(textwrap.dedent("".join(lines))).body
    assert isinstance(node, ast.FunctionDef)
    return node, first


@dataclass
class _Frame:
    """An inlined call."""

    function: Callable[..., Any]
    names: dict[str, Any]
    result: Register | None
    end: Label
    first_line: int
    module: bool


@dataclass
class Compiler:
    """Compiles one actor.

    environment : names that stand before those of the functions' own modules: an interface's verbs
    and flags. statics, kinds, words : found on the way, in order. notes : texts of `refuse`, each
    with `actor`.
    """

    environment: Mapping[str, Any]
    statics: list[Static]
    kinds: list[Kind]
    words: list[str]
    notes: list[tuple[str, str, str]]
    actor: str = ""
    rows: list[Row] = field(default_factory=list)
    _frames: list[_Frame] = field(default_factory=list)
    _loops: list[tuple[Label, Label]] = field(default_factory=list)
    _text: str = ""
    _line: int = 0

    def compile(self, function: Callable[..., Any], arguments: Sequence[Any]) -> list[Row]:
        """The rows of an actor that runs `function(*arguments)`, END last."""
        self._inline(function, list(arguments))
        self._emit(engine.END)
        for row in self.rows:
            if isinstance(row.t, Label):
                row.t = row.t.row
        return self.rows

    # --- output ---

    def _emit(self, op: int, d: Any = None, a: Any = None, b: Any = None, t: Any = 0) -> None:
        frame = self._frames[-1] if self._frames else None
        where = f"{frame.function.__name__}:{self._line}" if frame else ""
        module = bool(frame and frame.module)
        self.rows.append(Row(op, d, a, b, t, module, self._text, where))

    def _place(self, label: Label) -> None:
        label.row = len(self.rows)

    def _refused(self, node: ast.AST, why: str) -> UserError:
        frame = self._frames[-1]
        line = frame.first_line + getattr(node, "lineno", 1) - 1
        return UserError(f"protocol {frame.function.__name__}, line {line}: {why}")

    def _word(self, name: str) -> Word:
        if name not in self.words:
            self.words.append(name)
        return Word(self.words.index(name))

    # --- calls ---

    def _inline(self, function: Callable[..., Any], arguments: list[Any]) -> Any:
        node, first = _definition(function)
        if len(self._frames) > 20:
            raise self._refused(node, "calls nest too deeply; recursion is not allowed")
        parameters = [parameter.arg for parameter in node.args.args]
        defaults = list(function.__defaults__ or ())
        missing = len(parameters) - len(arguments)
        if missing > len(defaults) or missing < 0:
            raise UserError(
                f"protocol {function.__name__}: {len(arguments)} arguments for {parameters}"
            )
        arguments = arguments + (defaults[-missing:] if missing else [])
        assigned = {
            target.id
            for part in ast.walk(node)
            for target in ([part] if isinstance(part, ast.Name) else [])
            if isinstance(target.ctx, ast.Store)
        }
        names: dict[str, Any] = {}
        for parameter, argument in zip(parameters, arguments, strict=True):
            names[parameter] = argument if isinstance(argument, tuple) else self._seen(argument)
            if parameter in assigned:
                names[parameter] = Register(parameter)
                self._emit(engine.MOV, names[parameter], argument)
        body = node.body[1:] if ast.get_docstring(node) else node.body
        returns = [part for part in ast.walk(node) if isinstance(part, ast.Return)]
        simple = len(returns) == 1 and body and body[-1] is returns[0]
        result = Register(f"{function.__name__}()") if returns and not simple else None
        module = getattr(function, "is_module_text", False) or (
            bool(self._frames) and self._frames[-1].module
        )
        saved = self._text, self._line, self._loops
        self._loops = []
        self._frames.append(_Frame(function, names, result, Label(), first, module))
        value: Any = result
        left = self._block(body[:-1] if simple else body)
        if simple and not left:
            self._at(returns[0])
            value = self._value(returns[0].value) if returns[0].value else 0
        self._place(self._frames[-1].end)
        self._frames.pop()
        self._text, self._line, self._loops = saved
        return value

    # --- statements ---

    def _at(self, node: ast.stmt) -> None:
        self._line = self._frames[-1].first_line + node.lineno - 1
        self._text = self._wording().statement(node)

    def _wording(self) -> Wording:
        frame = self._frames[-1]
        seen = {**frame.function.__globals__, **self.environment}

        def value_of(name: str) -> Any:
            value = frame.names.get(name)
            known = name not in frame.names or isinstance(value, int | tuple)
            return frame.names.get(name, seen.get(name)) if known else None

        return Wording(value_of, self._constant_condition, seen.get("ARRAYS", {}))

    def _block(self, statements: Sequence[ast.stmt]) -> bool:
        """Compile statements up to one that always leaves them; whether there is one."""
        return any(self._statement(statement) for statement in statements)

    def _statement(self, node: ast.stmt) -> bool:
        """Compile one statement; whether what stands behind it is never reached."""
        frame = self._frames[-1]
        if not isinstance(node, ast.For):
            self._at(node)
        if isinstance(node, ast.Pass):
            return False
        if isinstance(node, ast.Expr):
            self._value(node.value)
        elif isinstance(node, ast.Assign) and len(node.targets) == 1:
            self._assign(node.targets[0], self._value(node.value))
        elif isinstance(node, ast.AugAssign) and isinstance(node.op, ast.Add | ast.Sub):
            old = self._value(ast.copy_location(_as_load(node.target), node))
            self._assign(node.target, self._sum(node.op, old, self._value(node.value)))
        elif isinstance(node, ast.If):
            return self._if(node)
        elif isinstance(node, ast.While):
            self._while(node)
        elif isinstance(node, ast.For):
            self._unroll(node)
        elif isinstance(node, ast.Break):
            self._emit(engine.JMP, t=self._loops[-1][1])
        elif isinstance(node, ast.Continue):
            self._emit(engine.JMP, t=self._loops[-1][0])
        elif isinstance(node, ast.Return):
            if node.value is not None:
                self._emit(engine.MOV, frame.result, self._value(node.value))
            self._emit(engine.JMP, t=frame.end)
        else:
            raise self._refused(node, f"{ast.unparse(node)!r} is not part of the language")
        return isinstance(node, ast.Break | ast.Continue | ast.Return)

    def _assign(self, target: ast.expr, value: Any) -> None:
        if isinstance(target, ast.Name):
            names = self._frames[-1].names
            if not isinstance(names.get(target.id), Register):
                names[target.id] = Register(target.id)
            self._emit(engine.MOV, names[target.id], value)
        elif isinstance(target, ast.Attribute):
            owner = self._value(target.value)
            op = engine.POKE if _is_ghost(owner) else engine.STORE
            self._emit(op, value, owner, self._word(target.attr))
        elif isinstance(target, ast.Subscript):
            owner = self._value(target.value)
            op = engine.POKE_AT if _is_ghost(owner) else engine.STORE_AT
            self._emit(op, value, owner, self._value(target.slice))
        else:
            raise self._refused(target, f"cannot assign to {ast.unparse(target)}")

    def _if(self, node: ast.If) -> bool:
        constant = self._constant_condition(node.test)
        if constant is not None:
            return self._block(node.body if constant else node.orelse)
        then, otherwise, end = Label(), Label(), Label()
        self._condition(node.test, then, otherwise)
        self._place(then)
        self._block(node.body)
        self._emit(engine.JMP, t=end)
        self._place(otherwise)
        self._block(node.orelse)
        self._place(end)
        return False

    def _while(self, node: ast.While) -> None:
        head, body, end = Label(), Label(), Label()
        self._place(head)
        constant = self._constant_condition(node.test)
        if constant is None:
            self._condition(node.test, body, end)
        self._place(body)
        self._loops.append((head, end))
        self._block(node.body)
        self._loops.pop()
        self._emit(engine.JMP, t=head)
        self._place(end)

    def _unroll(self, node: ast.For) -> None:
        self._line = self._frames[-1].first_line + node.lineno - 1
        items = self._value(node.iter)
        if not isinstance(items, tuple) or not isinstance(node.target, ast.Name):
            raise self._refused(node, "`for` goes over a constant tuple only")
        end = Label()
        for item in items:
            following = Label()
            self._frames[-1].names[node.target.id] = item
            self._loops.append((following, end))
            self._block(node.body)
            self._loops.pop()
            self._place(following)
        self._place(end)

    # --- conditions ---

    def _constant_condition(self, node: ast.expr) -> bool | None:
        """Whether a condition on constants holds; None if it is known at run time only."""
        if isinstance(node, ast.Constant):
            return bool(node.value)
        if isinstance(node, ast.Name):
            value = self._name(node)
            return bool(value) if isinstance(value, int | tuple) else None
        if isinstance(node, ast.UnaryOp) and isinstance(node.op, ast.Not):
            inner = self._constant_condition(node.operand)
            return None if inner is None else not inner
        if isinstance(node, ast.BoolOp):
            parts = [self._constant_condition(value) for value in node.values]
            decides = isinstance(node.op, ast.Or)
            if decides in parts:
                return decides if parts[0] is decides else None
            return None if None in parts else not decides
        if isinstance(node, ast.Compare) and all(
            isinstance(side, ast.Name | ast.Constant) for side in (node.left, node.comparators[0])
        ):
            left, right = self._value(node.left), self._value(node.comparators[0])
            if not isinstance(left, Register) and not isinstance(right, Register):
                return _compare(node.ops[0], left, right)
        return None

    def _condition(self, node: ast.expr, yes: Label, no: Label) -> None:
        constant = self._constant_condition(node)
        if constant is not None:
            self._emit(engine.JMP, t=yes if constant else no)
        elif isinstance(node, ast.UnaryOp) and isinstance(node.op, ast.Not):
            self._condition(node.operand, no, yes)
        elif isinstance(node, ast.BoolOp):
            for value in node.values[:-1]:
                following = Label()
                if isinstance(node.op, ast.And):
                    self._condition(value, following, no)
                else:
                    self._condition(value, yes, following)
                self._place(following)
            self._condition(node.values[-1], yes, no)
        elif isinstance(node, ast.Compare) and len(node.ops) == 1:
            left, right = self._value(node.left), self._value(node.comparators[0])
            self._jump(node.ops[0], left, right, yes, no)
        else:
            self._jump(ast.NotEq(), self._value(node), 0, yes, no)

    def _jump(self, op: ast.cmpop, left: Any, right: Any, yes: Label, no: Label) -> None:
        if isinstance(op, ast.Gt | ast.GtE):
            left, right = right, left
        kind = {
            ast.Eq: engine.JEQ, ast.NotEq: engine.JNE, ast.Lt: engine.JLT, ast.Gt: engine.JLT,
            ast.LtE: engine.JLE, ast.GtE: engine.JLE,
        }[type(op)]  # fmt: skip
        self._emit(kind, None, left, right, yes)
        self._emit(engine.JMP, t=no)

    # --- values ---

    def _name(self, node: ast.Name) -> Any:
        frame = self._frames[-1]
        for names in (frame.names, self.environment, frame.function.__globals__):
            if node.id in names:
                return self._seen(names[node.id])
        raise self._refused(node, f"unknown name {node.id!r}")

    def _seen(self, value: Any) -> Any:
        """Note an object or a struct that a protocol names."""
        if isinstance(value, Static) and value not in self.statics:
            self.statics.append(value)
        if isinstance(value, Kind) and value not in self.kinds:
            self.kinds.append(value)
        return int(value) if isinstance(value, bool) else value

    def _value(self, node: ast.expr) -> Any:
        if isinstance(node, ast.Constant) and isinstance(node.value, int | str):
            return int(node.value) if isinstance(node.value, bool) else node.value
        if isinstance(node, ast.Name):
            return self._name(node)
        if isinstance(node, ast.Attribute):
            owner = self._value(node.value)
            result = Register(ast.unparse(node))
            op = engine.PEEK if _is_ghost(owner) else engine.LOAD
            self._emit(op, result, owner, self._word(node.attr))
            return result
        if isinstance(node, ast.Subscript):
            owner, index = self._value(node.value), self._value(node.slice)
            if isinstance(owner, tuple):
                return self._seen(owner[index])
            result = Register(ast.unparse(node))
            op = engine.PEEK_AT if _is_ghost(owner) else engine.LOAD_AT
            self._emit(op, result, owner, index)
            return result
        if isinstance(node, ast.BinOp) and isinstance(node.op, ast.Add | ast.Sub):
            return self._sum(node.op, self._value(node.left), self._value(node.right))
        if isinstance(node, ast.UnaryOp) and isinstance(node.op, ast.USub):
            return self._sum(ast.Sub(), 0, self._value(node.operand))
        if isinstance(node, ast.Call):
            return self._call(node)
        if isinstance(node, ast.Tuple):
            return tuple(self._value(item) for item in node.elts)
        if isinstance(node, ast.IfExp):
            chosen = self._constant_condition(node.test)
            if chosen is None:
                raise self._refused(node, "`x if c else y` needs a constant c")
            return self._value(node.body if chosen else node.orelse)
        if isinstance(node, ast.Compare | ast.BoolOp | ast.UnaryOp):
            return self._truth(node)
        raise self._refused(node, f"{ast.unparse(node)!r} is not part of the language")

    def _sum(self, op: ast.operator, left: Any, right: Any) -> Any:
        if isinstance(left, int) and isinstance(right, int):
            return left + right if isinstance(op, ast.Add) else left - right
        result = Register("sum")
        self._emit(engine.ADD if isinstance(op, ast.Add) else engine.SUB, result, left, right)
        return result

    def _truth(self, node: ast.expr) -> Any:
        result, yes, no, end = Register(ast.unparse(node)), Label(), Label(), Label()
        self._condition(node, yes, no)
        for label, value in ((yes, 1), (no, 0)):
            self._place(label)
            self._emit(engine.MOV, result, value)
            self._emit(engine.JMP, t=end)
        self._place(end)
        return result

    def _call(self, node: ast.Call) -> Any:
        function = self._value(node.func)
        if isinstance(function, Primitive):
            return self._primitive(function.name, node)
        if not callable(function):
            raise self._refused(node, f"{ast.unparse(node.func)} is no function")
        text = self._text
        value = self._inline(function, [self._value(argument) for argument in node.args])
        self._text = text
        return value

    def _lvalue(self, node: ast.expr) -> tuple[Any, Word]:
        if not isinstance(node, ast.Attribute):
            raise self._refused(node, f"{ast.unparse(node)} is no word of an object")
        return self._value(node.value), self._word(node.attr)

    def _text_of_call(self, node: ast.Call) -> str:
        """In a condition the call is the step, what is made of its result is not."""
        in_condition = self._text.startswith(("if (", "while ("))
        return self._wording().of(node) if in_condition else self._text

    def _primitive(self, name: str, node: ast.Call) -> Any:
        arguments = node.args
        result = Register(ast.unparse(node))
        if name in _ON_A_WORD:
            op, t, gives = _ON_A_WORD[name]
            owner, word = self._lvalue(arguments[0])
            if name == "xchg":
                t = self._value(arguments[1])
            statement, self._text = self._text, self._text_of_call(node)
            self._emit(op, result if gives else None, owner, word, t)
            self._text = statement
            return result if gives else 0
        if name in _PLAIN:
            for op, t in _PLAIN[name]:
                self._emit(op, t=t)
        elif name in ("kfree", "call_rcu"):
            op = engine.FREE if name == "kfree" else engine.CALL_RCU
            self._emit(op, a=self._value(arguments[0]))
        elif name == "take_callback":
            self._emit(engine.TAKE, result)
            return result
        elif name == "choose":
            self._emit(engine.CHOOSE, result, t=self._value(arguments[0]))
            return result
        elif name == "kzalloc":
            self._emit(engine.ALLOC, result, t=self._value(arguments[0]))
            for keyword in node.keywords:
                value = self._value(keyword.value)
                self._emit(engine.POKE, value, result, self._word(str(keyword.arg)))
            return result
        elif name == "check":
            fine, wrong = Label(), Label()
            self._condition(arguments[0], fine, wrong)
            self._place(wrong)
            self._emit(engine.FAIL, t=self._value(arguments[1]))
            self._place(fine)
        else:  # refuse, refuse_at_load
            note = (name, self._value(arguments[0]), self.actor)
            if note not in self.notes:
                self.notes.append(note)
            self._emit(engine.NOTE, t=self.notes.index(note))
        return 0


_ON_A_WORD = {
    "mutex_lock": (engine.LOCK, 0, False),
    "mutex_unlock": (engine.UNLOCK, 0, False),
    "spin_lock": (engine.LOCK, 1, False),
    "spin_unlock": (engine.UNLOCK, 1, False),
    "refcount_inc": (engine.INC, 0, False),
    "refcount_inc_not_zero": (engine.INC_NOT_ZERO, 0, True),
    "refcount_dec_and_test": (engine.DEC_AND_TEST, 0, True),
    "atomic_inc": (engine.ATOMIC_ADD, 1, False),
    "atomic_dec": (engine.ATOMIC_ADD, -1, False),
    "xchg": (engine.XCHG, 0, True),
    "wait_until_zero": (engine.WAIT_ZERO, 0, False),
}
"""Primitive -> operation, what is in its t, whether it has a result."""

_PLAIN = {
    "rcu_read_lock": ((engine.READ_LOCK, 0),),
    "rcu_read_unlock": ((engine.READ_UNLOCK, 0),),
    "synchronize_rcu": ((engine.SYNC_BEGIN, 0), (engine.SYNC_END, 0)),
    "rcu_barrier": ((engine.BARRIER, 0),),
    "might_sleep": ((engine.MIGHT_SLEEP, 0),),
    "migrate_disable": ((engine.PIN, 32),),
    "migrate_enable": ((engine.PIN, -32),),
    "softirq_enter": ((engine.ATOMIC, 8),),
    "softirq_exit": ((engine.ATOMIC, -8),),
    "step": ((engine.STEP, 0),),
}


def _is_ghost(owner: Any) -> bool:
    return isinstance(owner, Static) and owner.kind.ghost


def _compare(op: ast.cmpop, left: Any, right: Any) -> bool:
    if isinstance(op, ast.Eq):
        return bool(left == right)
    if isinstance(op, ast.NotEq):
        return bool(left != right)
    if isinstance(op, ast.Lt):
        return bool(left < right)
    if isinstance(op, ast.LtE):
        return bool(left <= right)
    return bool(left > right) if isinstance(op, ast.Gt) else bool(left >= right)


def _as_load(node: ast.expr) -> ast.expr:
    copy = ast.parse(ast.unparse(node), mode="eval").body
    return copy


assert len(PROPERTIES) == engine.N_PROPERTIES
