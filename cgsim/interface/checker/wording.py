"""Steps in the kernel's C, from the Python that protocols are written in."""

from __future__ import annotations

import ast
from typing import TYPE_CHECKING, Any

from cgsim.interface.checker.language import Primitive, Static

if TYPE_CHECKING:
    from collections.abc import Callable

_CALLED = {
    "core.mutex": "cgroup_mutex",
    "take_callback": "rcu_do_batch",
}
_WORDS = {"dnext": "list.next", "dprev": "list.prev"}
_OF_ADDRESSES = (
    "mutex_lock", "mutex_unlock", "spin_lock", "spin_unlock", "refcount_inc",
    "refcount_inc_not_zero", "refcount_dec_and_test", "atomic_inc", "atomic_dec", "xchg",
)  # fmt: skip
"""Primitives whose first argument is a word: C takes its address."""
_SIGNS: dict[type, str] = {
    ast.Eq: "==", ast.NotEq: "!=", ast.Lt: "<", ast.LtE: "<=", ast.Gt: ">", ast.GtE: ">=",
    ast.Add: "+", ast.Sub: "-", ast.And: "&&", ast.Or: "||",
}  # fmt: skip
_OPPOSITE: dict[type, type] = {
    ast.Eq: ast.NotEq, ast.NotEq: ast.Eq, ast.Lt: ast.GtE, ast.GtE: ast.Lt, ast.Gt: ast.LtE,
    ast.LtE: ast.Gt,
}  # fmt: skip


class Wording:
    """Writes a function's statements in C.

    value_of : what a name stands for, known constants included; None for any other variable.
    constant : whether a condition holds, None if that is known at run time only. arrays : how the
    slots of a variable's object are called.
    """

    def __init__(
        self,
        value_of: Callable[[str], Any],
        constant: Callable[[ast.expr], bool | None],
        arrays: dict[str, str],
    ) -> None:
        self.value_of, self.constant, self.arrays = value_of, constant, arrays

    def statement(self, node: ast.stmt) -> str:
        """A statement; of `if` and `while` the condition."""
        if isinstance(node, ast.If | ast.While):
            return f"{'if' if isinstance(node, ast.If) else 'while'} ({self.of(node.test)})"
        if isinstance(node, ast.Expr):
            return self.of(node.value)
        if isinstance(node, ast.Assign):
            return f"{self.of(node.targets[0])} = {self.of(node.value)}"
        if isinstance(node, ast.AugAssign):
            return f"{self.of(node.target)} {_SIGNS[type(node.op)]}= {self.of(node.value)}"
        if isinstance(node, ast.Return) and node.value is not None:
            return f"return {self.of(node.value)}"
        return ast.unparse(node)

    def of(self, node: ast.expr) -> str:
        """An expression."""
        written = ast.unparse(node)
        if written in _CALLED:
            return _CALLED[written]
        if isinstance(node, ast.Attribute):
            word = _WORDS.get(node.attr, node.attr)
            return f"{self.of(node.value)}{self._arrow(node.value)}{word}"
        if isinstance(node, ast.Subscript):
            return self._element(node)
        if isinstance(node, ast.Call):
            return self._call(node)
        if isinstance(node, ast.Compare):
            return (
                f"{self.of(node.left)} {_SIGNS[type(node.ops[0])]} {self.of(node.comparators[0])}"
            )
        if isinstance(node, ast.UnaryOp) and isinstance(node.op, ast.Not):
            return self._not(node.operand)
        if isinstance(node, ast.BoolOp):
            parts = [part for part in node.values if self.constant(part) is None]
            nested = [
                f"({self.of(part)})" if isinstance(part, ast.BoolOp) else self.of(part)
                for part in parts
            ]
            return f" {_SIGNS[type(node.op)]} ".join(nested) or written
        if isinstance(node, ast.BinOp):
            left, right = self.of(node.left), self.of(node.right)
            if left.isdecimal() and right.isdecimal() and isinstance(node.op, ast.Add):
                return str(int(left) + int(right))
            return f"{left} {_SIGNS[type(node.op)]} {right}"
        return written

    def _arrow(self, owner: ast.expr) -> str:
        is_object = isinstance(owner, ast.Name) and isinstance(self.value_of(owner.id), Static)
        return "." if is_object else "->"

    def _element(self, node: ast.Subscript) -> str:
        index = self.of(node.slice)
        if isinstance(node.value, ast.Name):
            owner, key = self.value_of(node.value.id), node.slice
            number = self.value_of(key.id) if isinstance(key, ast.Name) else key
            number = number.value if isinstance(number, ast.Constant) else number
            if isinstance(owner, tuple) and isinstance(number, int):
                value = owner[number]
                return str(value) if isinstance(value, int) else f"{node.value.id.lower()}[{index}]"
        array = self.arrays.get(ast.unparse(node.value))
        return f"{self.of(node.value)}{f'->{array}' if array else ''}[{index}]"

    def _not(self, node: ast.expr) -> str:
        if isinstance(node, ast.Compare):
            opposite = _OPPOSITE[type(node.ops[0])]()
            return self.of(ast.Compare(node.left, [opposite], node.comparators))
        inner = self.of(node)
        return f"!({inner})" if isinstance(node, ast.BoolOp) else f"!{inner}"

    def _call(self, node: ast.Call) -> str:
        name = ast.unparse(node.func)
        given = [self.of(argument) for argument in node.args]
        what = self.value_of(name) if isinstance(node.func, ast.Name) else None
        if isinstance(what, Primitive):
            if name == "step":
                return str(ast.literal_eval(node.args[0])) if node.args else name
            if name == "check":
                return f"WARN_ON({self._not(node.args[0])})"
            if name == "wait_until_zero":
                return f"wait_event({given[0]} == 0)"
            if name in _OF_ADDRESSES:
                given[0] = f"&{given[0]}"
        return f"{_CALLED.get(name, name)}({', '.join(given)})"
