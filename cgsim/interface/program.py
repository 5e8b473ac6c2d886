"""A BPF program as a short list of instructions, and what its verifier says of it.

The program asks for its buffer with a constant size, `ptr = bpf_get_cgroup_buf(skb, sizeof(struct
my_data))`, and then loads, adds and stores with constant offsets. The verifier checks every access
against that size when the program is loaded, as it does for map values, and leaves the size in the
program's aux, from where attach takes it (data/thread.txt). Nothing is checked at run time.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import NamedTuple

from cgsim.errors import UserError

MAX_BUFFER_BYTES = 32 << 10
"""PCPU_MIN_UNIT_SIZE, which bounds the values of the cgroup storage that the kernel has."""
MAX_INSTRUCTIONS = 1 << 12
SIZES = (1, 2, 4, 8)


class GetBuffer(NamedTuple):
    """`ptr = bpf_get_cgroup_buf(skb, size)`."""

    size: int


class Load(NamedTuple):
    """`r = *(size *)(ptr + offset)`, bytes."""

    offset: int
    size: int


class Store(NamedTuple):
    """`*(size *)(ptr + offset) = r`, bytes."""

    offset: int
    size: int


class Add(NamedTuple):
    """`r += amount`."""

    amount: int


Instruction = GetBuffer | Load | Store | Add


@dataclass(frozen=True)
class Program:
    """A program with a name for messages."""

    name: str
    instructions: tuple[Instruction, ...]


@dataclass(frozen=True)
class Verdict:
    """What the verifier says.

    buffer_bytes : of the largest buffer asked for, what goes into the program's aux. instruction :
    number of the one that is refused, from 0; -1 if none is. reason : why, "" if nothing is.
    """

    program: Program
    buffer_bytes: int
    instruction: int = -1
    reason: str = ""

    @property
    def accepted(self) -> bool:
        """Whether the program may be attached."""
        return self.instruction < 0

    def __str__(self) -> str:
        """One line, as the verifier's log ends."""
        if self.accepted:
            return f"program {self.program.name}: accepted, {self.buffer_bytes} bytes of buffer"
        instruction = self.program.instructions[self.instruction : self.instruction + 1]
        shown = f" {instruction[0]}" if instruction else ""
        return (
            f"program {self.program.name}: refused at instruction {self.instruction}{shown}: "
            f"{self.reason}"
        )


def verify(program: Program) -> Verdict:
    """Check a program before it runs; the verdict names the first instruction refused.

    Raises UserError for something that is no instruction at all.
    """
    largest = 0
    size = -1  # of the buffer that ptr points to
    known = False  # r has a value
    for number, instruction in enumerate(program.instructions[: MAX_INSTRUCTIONS + 1]):
        if not isinstance(instruction, Instruction):
            raise UserError(
                f"program {program.name}: instruction {number} = {instruction!r} is not allowed; "
                "allowed: GetBuffer, Load, Store, Add"
            )
        reason = _refusal(instruction, number, size, known)
        if reason:
            return Verdict(program, largest, number, reason)
        if isinstance(instruction, GetBuffer):
            size = instruction.size
            largest = max(largest, size)
        elif isinstance(instruction, Load):
            known = True
    return Verdict(program, largest)


def _refusal(instruction: Instruction, number: int, size: int, known: bool) -> str:
    """Why an instruction is refused, "" if it is not."""
    if number >= MAX_INSTRUCTIONS:
        return f"the program is longer than {MAX_INSTRUCTIONS} instructions"
    if isinstance(instruction, GetBuffer):
        if not 1 <= instruction.size <= MAX_BUFFER_BYTES:
            return f"a buffer of {instruction.size} bytes; allowed: 1..{MAX_BUFFER_BYTES}"
        return ""
    if isinstance(instruction, Add):
        return "" if known else "r has no value yet"
    if size < 0:
        return "ptr is not a buffer: bpf_get_cgroup_buf comes first"
    if instruction.size not in SIZES:
        return f"an access of {instruction.size} bytes; allowed: 1, 2, 4, 8"
    if instruction.offset < 0 or instruction.offset + instruction.size > size:
        return f"bytes {instruction.offset}..{instruction.offset + instruction.size - 1} of {size}"
    if instruction.offset % instruction.size:
        return f"offset {instruction.offset} is not a multiple of {instruction.size}"
    if isinstance(instruction, Store) and not known:
        return "r has no value yet"
    return ""


MY_DATA_BYTES = 16
"""sizeof(struct my_data) of the thread: u64 a, u32 b, four bytes of padding."""

COUNTER = Program(
    "counter",
    (GetBuffer(MY_DATA_BYTES), Load(0, 8), Add(1), Store(0, 8), Load(8, 4), Add(1), Store(8, 4)),
)
"""Counts a packet in `a` and in `b` of the thread's struct my_data."""
