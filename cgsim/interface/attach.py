"""Programs attached to cgroups: buffers allocated at attach, effective programs, inlining.

As the thread proposes it: attach takes the size from the program's aux and makes room in the buffer
of every cgroup the program will run for, that is the one it is attached to and all below it. The
program's part has the same offset in all of them, since its text is one. A cgroup's effective
programs are its own, then its parent's, up to the root (compute_effective_progs,
kernel/bpf/cgroup.c); each has the program that stands in its own array's items.

A program that is detached gives its part back: the next one that fits takes the lowest place that
is free in all its cgroups, after a grace period (`Attachments.grace_periods`: programs that run may
still write there), and finds it cleared. A buffer that is too small is replaced by a copy, the old
one freed after a grace period; what a running program writes behind the copy is lost (`moving`). A
program that runs for a single cgroup has its part's address inlined; when that buffer moves, its
text has to be patched (`Attachments.patches`). Everything here happens under cgroup_mutex.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, NamedTuple

import numpy as np

from cgsim.compile.jit import njit
from cgsim.core.calls import call_and_return
from cgsim.core.heap import KMALLOC_CLASSES, Heap, allocate, retire
from cgsim.core.locks import mutex_lock, mutex_unlock
from cgsim.core.space import Native, compute, load, peek, poke, store, work
from cgsim.designs.objects import cgroup_cache, field_offset, running_task
from cgsim.errors import UserError, out_of_range
from cgsim.interface.parts import clear, first_fit
from cgsim.interface.program import Add, GetBuffer, Load, Program, verify

if TYPE_CHECKING:
    from collections.abc import Sequence

    from cgsim.kernel import Kernel

MAX_PROGRAMS = 64
"""BPF_CGROUP_MAX_PROGS."""
PROG_BYTES = 512
"""A bpf_prog's own line and its aux's (assumption); its text is not simulated."""

WORST, POINTER, INLINED, STORAGE = range(4)
PATHS = ("worst", "pointer", "inlined", "cgroup-storage")
"""How a program comes to its buffer: skb->sk->cgroup->buffer, from the cgroup that the dispatcher
has in a register, by an immediate address, or through the running context as the kernel does it."""

(P_PATH, P_OFFSET, P_ADDRESS, P_FIRST, P_LAST, PROGRAM_FIELDS) = range(6)
_GET, _LOAD, _STORE, _ADD = range(4)
_CLASSES = tuple(size for size in KMALLOC_CLASSES if size >= 64)


class Shape(NamedTuple):
    """Addresses and offsets in bytes, for kernels; `classes`: first slab cache of buffers."""

    buffer_offset: int  # from the cgroup
    effective_offset: int
    items_offset: int
    item_bytes: int
    item_storage_offset: int
    skb: int
    sock_offset: int  # from the skb
    sock_cgroup_offset: int
    current: int
    context_offset: int  # from the task
    run_context: int
    mutex: int
    task: int


# --- running ---


@njit
def _buffer(space, shape, path, cgroup, cgroup_token, item, program):
    """`bpf_get_cgroup_buf`: the program's part of the buffer of the packet's cgroup."""
    pointer = cgroup + shape.buffer_offset
    if path == INLINED:
        work(space, 1, 0)
        return program[P_ADDRESS], 0
    if path == STORAGE:
        poke(space, shape.run_context, 8, item)  # the dispatcher did
        call_and_return(space)
        task, token = load(space, shape.current, 8, 0)
        context, token = load(space, task + shape.context_offset, 8, token)
        _, token = load(space, context, 8, token)
        storage, token = load(space, item + shape.item_storage_offset, 8, token)
        buffer, token = load(space, storage, 8, token)
        work(space, 6, 1)
        return buffer, compute(space, token, 1, 0, 0)
    token = cgroup_token
    if path == WORST:
        call_and_return(space)
        sock, token = load(space, shape.skb + shape.sock_offset, 8, 0)
        _, token = load(space, sock + shape.sock_cgroup_offset, 8, token)
        work(space, 4, 1)
    buffer, token = load(space, pointer, 8, token)
    work(space, 1, 0)
    return buffer + program[P_OFFSET], token


@njit
def _run_program(space, shape, cgroup, cgroup_token, item, program, code):
    """Execute one program; returns what is in r at its end."""
    pointer, pointer_token = 0, 0
    r, r_token = 0, 0
    for i in range(program[P_FIRST], program[P_LAST]):
        what, offset, size = code[i]
        if what == _GET:
            pointer, pointer_token = _buffer(
                space, shape, program[P_PATH], cgroup, cgroup_token, item, program
            )
        elif what == _LOAD:
            r, r_token = load(space, pointer + offset, size, pointer_token)
        elif what == _STORE:
            store(space, pointer + offset, size, r, pointer_token, r_token)
        else:
            r += offset
            work(space, 1, 0)
            r_token = compute(space, r_token, 1, 0, 0)
    return r


@njit
def run_packet(space, shape, sock, programs, code):
    """One packet of a socket: from the skb to its cgroup, then all its effective programs.

    programs : int64[n, PROGRAM_FIELDS]. code : int64[m, 3]. Returns the sum of what the programs
    leave in r.
    """
    poke(space, shape.skb + shape.sock_offset, 8, sock)
    _, token = load(space, shape.skb + shape.sock_offset, 8, 0)
    cgroup, token = load(space, sock + shape.sock_cgroup_offset, 8, token)
    work(space, 8, 3)
    array, array_token = load(space, cgroup + shape.effective_offset, 8, token)
    total = 0
    item = array + shape.items_offset
    program, program_token = load(space, item, 8, array_token)
    while program != 0:
        load(space, program + 8, 8, program_token)  # bpf_func
        call_and_return(space)
        number = peek(space, program, 8)
        work(space, 6, 1)
        total += _run_program(space, shape, cgroup, token, item, programs[number], code)
        item += shape.item_bytes
        program, program_token = load(space, item, 8, array_token)
    return total


# --- attaching ---


@njit
def _replace(space, shape, field, cache, old_cache, old_bytes):
    """Put a new object in the place of the one a field points to; returns its address, 0 if none.

    `old_bytes` are copied. What was there (old_cache >= 0) is freed after a grace period.
    """
    mutex_lock(space, shape.mutex, shape.task, 0)
    new, new_token = allocate(space, cache, 0)
    if new != 0:
        old, old_token = load(space, field, 8, 0)
        for offset in range(0, old_bytes, 8):
            word, word_token = load(space, old + offset, 8, old_token)
            store(space, new + offset, 8, word, new_token, word_token)
        store(space, field, 8, new, 0, new_token)
        if old_cache >= 0:
            retire(space, old_cache, old, old_token)
    mutex_unlock(space, shape.mutex, shape.task, 0)
    return new


class Attachments:
    """A hierarchy of cgroups with a socket each, and the programs attached to them.

    Parameters
    ----------
    heap : an empty simulated memory
    kernel : whose offsets
    parents : for each cgroup the number of its parent, an earlier one; -1 for the root
    """

    def __init__(self, heap: Heap, kernel: Kernel, parents: Sequence[int]) -> None:
        for number, parent in enumerate(parents):
            if not -1 <= parent < number:
                raise out_of_range("hierarchy", f"parents[{number}]", parent, f"-1..{number - 1}")
        self.heap = heap
        self.kernel = kernel
        self.space = Native(heap.mem, heap.block)
        task = running_task(heap, kernel)
        run_context = heap.place("bpf_cg_run_ctx", kernel.size("bpf_cg_run_ctx"))
        heap.write(task.task + kernel.offset("task_struct", "bpf_ctx"), run_context)
        self.shape = Shape(
            buffer_offset=field_offset(kernel),
            effective_offset=kernel.offset("cgroup", "bpf.effective"),
            items_offset=kernel.offset("bpf_prog_array", "items"),
            item_bytes=kernel.size("bpf_prog_array_item"),
            item_storage_offset=kernel.offset("bpf_prog_array_item", "cgroup_storage"),
            skb=heap.place("sk_buff", kernel.size("sk_buff")),
            sock_offset=kernel.offset("sk_buff", "sk"),
            sock_cgroup_offset=kernel.offset("sock", "sk_cgrp_data"),
            current=task.current,
            context_offset=kernel.offset("task_struct", "bpf_ctx"),
            run_context=run_context,
            mutex=heap.place("global:cgroup_mutex", 64),
            task=task.task,
        )
        self._cgroup_cache = cgroup_cache(heap, kernel, 8)
        self._sock_cache = heap.add_cache("sock", kernel.size("sock"))
        self._prog_cache = heap.add_cache("bpf_prog", PROG_BYTES)
        size = kernel.size("bpf_cgroup_storage")
        self._storage_cache = heap.add_cache("bpf_cgroup_storage", size)
        self._buffer_caches = [heap.add_cache("cgroup_buffer", size) for size in _CLASSES]
        self._array_caches = [heap.add_cache("bpf_prog_array", size) for size in _CLASSES]
        self.parents: list[int] = []
        self.cgroups: list[int] = []
        self.sockets: list[int] = []
        self.used: list[int] = []
        """Bytes of each cgroup's buffer up to the end of the last part in use."""
        self.programs: list[Program] = []
        self.attached: list[list[int]] = []
        """Numbers of the programs attached to each cgroup itself, in order."""
        self.patches = 0
        """Inlined addresses that had to be written again because a buffer moved."""
        self.grace_periods = 0
        """How often attach had to wait before it could use a part again."""
        self._parts: list[tuple[int, int]] = []  # of each program: offset, end
        self._written: list[int] = []  # of each cgroup: end of what has ever been a part
        self.code = np.zeros((0, 3), dtype=np.int64)
        self.table = np.zeros((0, PROGRAM_FIELDS), dtype=np.int64)
        self._children: list[list[int]] = []
        self._structs: list[int] = []
        self._texts: dict[Program, tuple[int, int]] = {}
        self._room: list[int] = []
        self._array_class: list[int] = []
        for parent in parents:
            self._create(parent)

    # --- cgroups ---

    def create(self, parent: int) -> int:
        """A new cgroup; it has its ancestors' programs, and room for their data, from the start."""
        if not -1 <= parent < len(self.cgroups):
            raise out_of_range("hierarchy", "parent", parent, f"-1..{len(self.cgroups) - 1}")
        number = self._create(parent)
        self._choose_paths()
        return number

    def _create(self, parent: int) -> int:
        number = len(self.cgroups)
        cgroup = self._new(self._cgroup_cache)
        sock = self._new(self._sock_cache)
        self.heap.write(sock + self.shape.sock_cgroup_offset, cgroup)
        self.parents.append(parent)
        self.cgroups.append(cgroup)
        self.sockets.append(sock)
        self.attached.append([])
        self._children.append([])
        self.used.append(0)
        self._written.append(0)
        self._room.append(0)
        self._array_class.append(-1)
        self._make_room(number, self.used[parent] if parent >= 0 else 0, self.space)
        self._renew_array(number, self.space)
        if parent >= 0:
            self._children[parent].append(number)
        return number

    def _new(self, cache: int) -> int:
        address = int(allocate(self.space, cache, 0)[0])
        if address == 0:
            raise UserError("the simulated memory is exhausted by cgroups")
        return address

    def below(self, cgroup: int) -> list[int]:
        """A cgroup and all its descendants, parents first."""
        found = [cgroup]
        for number in found:
            found += self._children[number]
        return found

    def effective(self, cgroup: int) -> list[int]:
        """Numbers of the programs that run for a cgroup: its own, its parent's, up to the root."""
        found: list[int] = []
        while cgroup >= 0:
            found += self.attached[cgroup]
            cgroup = self.parents[cgroup]
        return found

    # --- programs ---

    def attach(self, program: Program, cgroup: int, *, space: Any = None) -> int:
        """Verify a program and attach it; returns its number.

        `space`: the reading in which memory is allocated and copied, to see what attach costs.
        Raises UserError if the verifier refuses it, or a cgroup would run too many.
        """
        (number,) = self.attach_all(program, [cgroup], space=space)
        return number

    def attach_all(
        self, program: Program, cgroups: Sequence[int], *, space: Any = None
    ) -> list[int]:
        """Load a program once for each of some cgroups and attach it; returns their numbers."""
        verdict = verify(program)
        if not verdict.accepted:
            raise UserError(str(verdict))
        space = self.space if space is None else space
        numbers = [self._attach(program, verdict.buffer_bytes, c, space) for c in cgroups]
        self._choose_paths()
        return numbers

    def _attach(self, program: Program, buffer_bytes: int, cgroup: int, space: Any) -> int:
        self._require(cgroup)
        runs_for = self.below(cgroup)
        for other in runs_for:
            if len(self.effective(other)) == MAX_PROGRAMS:
                raise UserError(
                    f"program {program.name}: cgroup {other} runs {MAX_PROGRAMS} programs already"
                )
        taken = [self._parts[n] for other in runs_for for n in self.effective(other)]
        offset = first_fit(taken, buffer_bytes)
        end = offset + buffer_bytes
        again = [other for other in runs_for if buffer_bytes and offset < self._written[other]]
        self.grace_periods += bool(again)
        number = self._load(program, offset)
        self._parts.append((offset, end))
        self.attached[cgroup].append(number)
        for other in again:
            field = self.cgroups[other] + self.shape.buffer_offset
            clear(space, field, offset, min(end, self._written[other]))
        for other in runs_for:
            self._make_room(other, end, space)
            self._renew_array(other, space)
        return number

    def detach(self, number: int, cgroup: int) -> None:
        """Take a program off a cgroup. What is in its part stays until another one takes it."""
        self._require(cgroup)
        if number not in self.attached[cgroup]:
            raise UserError(
                f"program {number} is not attached to cgroup {cgroup}; "
                f"allowed: {self.attached[cgroup]}"
            )
        self.attached[cgroup].remove(number)
        for other in self.below(cgroup):
            self._renew_array(other, self.space)
            self.used[other] = max((self._parts[n][1] for n in self.effective(other)), default=0)
        self._choose_paths()

    def _require(self, cgroup: int) -> None:
        if not 0 <= cgroup < len(self.cgroups):
            raise out_of_range("hierarchy", "cgroup", cgroup, f"0..{len(self.cgroups) - 1}")

    def _load(self, program: Program, offset: int) -> int:
        """Add a program's code; its struct bpf_prog has its number in the first word."""
        number = len(self.programs)
        if program not in self._texts:
            rows = [_encoded(instruction) for instruction in program.instructions]
            text = np.array(rows, dtype=np.int64).reshape(-1, 3)
            self._texts[program] = (len(self.code), len(self.code) + len(text))
            self.code = np.concatenate([self.code, text])
        row = np.zeros((1, PROGRAM_FIELDS), dtype=np.int64)
        row[0, [P_PATH, P_OFFSET]] = POINTER, offset
        row[0, [P_FIRST, P_LAST]] = self._texts[program]
        self.table = np.concatenate([self.table, row])
        self.programs.append(program)
        self._structs.append(self._new(self._prog_cache))
        self.heap.write(self._structs[-1], number)
        return number

    def _make_room(self, cgroup: int, wanted: int, space: Any) -> None:
        """Let a cgroup's buffer have `wanted` bytes: at first by allocation, later by a copy."""
        room = self._room[cgroup]
        if wanted > room:
            field = self.cgroups[cgroup] + self.shape.buffer_offset
            new = self._class(wanted)
            old = self._buffer_caches[self._class(room)] if room else -1
            self._swap(space, field, self._buffer_caches[new], old, self.used[cgroup])
            self._room[cgroup] = _CLASSES[new]
            self._written[cgroup] = self.used[cgroup]
        self.used[cgroup] = max(wanted, self.used[cgroup])
        self._written[cgroup] = max(wanted, self._written[cgroup])

    def _renew_array(self, cgroup: int, space: Any) -> None:
        """A new array of effective programs, with a NULL item behind."""
        effective = self.effective(cgroup)
        shape = self.shape
        new = self._class(shape.items_offset + shape.item_bytes * (len(effective) + 1))
        old = self._array_class[cgroup]
        field = self.cgroups[cgroup] + shape.effective_offset
        array = self._swap(
            space, field, self._array_caches[new], self._array_caches[old] if old >= 0 else -1, 0
        )
        for i, number in enumerate(effective):
            item = array + shape.items_offset + shape.item_bytes * i
            poke(self.space, item, 8, self._structs[number])
        self._array_class[cgroup] = new

    def _swap(self, space: Any, field: int, cache: int, old_cache: int, old_bytes: int) -> int:
        new = int(_replace(space, self.shape, field, cache, old_cache, old_bytes))
        if new == 0:
            raise UserError("the simulated memory is exhausted by buffers")
        return new

    @staticmethod
    def _class(size_bytes: int) -> int:
        for number, size in enumerate(_CLASSES):
            if size_bytes <= size:
                return number
        raise UserError(
            f"a buffer of {size_bytes} bytes for all programs of a cgroup is not allowed; "
            f"allowed: {_CLASSES[-1]}"
        )

    # --- how programs find their buffers ---

    def runs_for(self, number: int) -> list[int]:
        """The cgroups that a program runs for."""
        return [c for c in range(len(self.cgroups)) if number in self.effective(c)]

    def buffer_bytes(self, cgroup: int) -> int:
        """Bytes of a cgroup's buffer, as slab rounds them."""
        return self._room[cgroup]

    def part(self, number: int, cgroup: int) -> int:
        """The simulated address of a program's part of a cgroup's buffer."""
        buffer = self.heap.read(self.cgroups[cgroup] + self.shape.buffer_offset)
        return buffer + int(self.table[number, P_OFFSET])

    def _choose_paths(self) -> None:
        """Inline the address for the programs that run for one cgroup; patch those that moved."""
        alone: dict[int, int] = {}
        often: set[int] = set()
        for cgroup in range(len(self.cgroups)):
            for number in self.effective(cgroup):
                if number in alone:
                    often.add(number)
                alone[number] = cgroup
        for number in range(len(self.programs)):
            row = self.table[number]
            if number not in alone or number in often:
                row[P_PATH] = POINTER
                continue
            address = self.part(number, alone[number])
            if row[P_PATH] == INLINED and row[P_ADDRESS] != address:
                self.patches += 1
            row[P_PATH], row[P_ADDRESS] = INLINED, address

    def force(self, path: str) -> None:
        """Let all programs find their buffers in one way, of `PATHS`, until the next attach.

        Raises UserError if "inlined" is asked for and a program runs for several cgroups.
        """
        if path not in PATHS:
            raise UserError(f"unknown path {path!r}; allowed: {', '.join(PATHS)}")
        self._choose_paths()
        for number, program in enumerate(self.programs):
            if path == "inlined" and self.table[number, P_PATH] != INLINED:
                raise UserError(
                    f"program {program.name}: it runs for {len(self.runs_for(number))} cgroups, "
                    "so that no single address can be inlined"
                )
        if path == "cgroup-storage":
            self._add_storages()
        self.table[:, P_PATH] = PATHS.index(path)

    def _add_storages(self) -> None:
        """A bpf_cgroup_storage per program and cgroup, tied to the array's items."""
        for cgroup in range(len(self.cgroups)):
            array = self.heap.read(self.cgroups[cgroup] + self.shape.effective_offset)
            for i, number in enumerate(self.effective(cgroup)):
                storage = self._new(self._storage_cache)
                self.heap.write(storage, self.part(number, cgroup))
                item = array + self.shape.items_offset + self.shape.item_bytes * i
                self.heap.write(item + self.shape.item_storage_offset, storage)

    def run(self, cgroup: int) -> int:
        """One packet of the cgroup's socket in the native reading; returns the sum of all r."""
        self._require(cgroup)
        sock = self.sockets[cgroup]
        return int(run_packet(self.space, self.shape, sock, self.table, self.code))


def _encoded(instruction: Any) -> tuple[int, int, int]:
    """An instruction as a row of the code: what, offset or amount, size."""
    if isinstance(instruction, GetBuffer):
        return _GET, 0, instruction.size
    if isinstance(instruction, Add):
        return _ADD, instruction.amount, 0
    what = _LOAD if isinstance(instruction, Load) else _STORE
    return what, instruction.offset, instruction.size
