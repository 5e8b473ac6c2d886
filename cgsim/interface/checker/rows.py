"""A protocol's operations before they have cells: rows on virtual registers."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from cgsim.interface.checker import engine


@dataclass(eq=False)
class Register:
    """A local variable, before it has a cell."""

    name: str


@dataclass(eq=False)
class Label:
    """A place in the code."""

    row: int = -1


@dataclass(frozen=True)
class Word:
    """A word of a struct, by its number in `Compiler.words`."""

    number: int


@dataclass(eq=False)
class Row:
    """One operation. Operands: a Register, a Static, an int, a Word, a Kind, a Label, or None."""

    op: int
    d: Any = None
    a: Any = None
    b: Any = None
    t: Any = 0
    module: bool = False
    text: str = ""
    where: str = ""

    @property
    def uses(self) -> list[Register]:
        """Registers that it reads."""
        read = [self.a, self.b]
        if self.op in (engine.STORE, engine.STORE_AT, engine.POKE, engine.POKE_AT):
            read.append(self.d)
        if self.op == engine.XCHG:
            read.append(self.t)
        return [operand for operand in read if isinstance(operand, Register)]

    @property
    def sets(self) -> Register | None:
        """The register that it writes."""
        if self.op in (engine.STORE, engine.STORE_AT, engine.POKE, engine.POKE_AT):
            return None
        return self.d if isinstance(self.d, Register) else None
