"""The texts of other tools: valgrind's lackey, Dinero, DynamoRIO's view of its drmemtrace."""

from __future__ import annotations

import re

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from cgsim.trace_replay.text_lines import Accesses, hexadecimal, integers, joined, lines_of
from cgsim.trace_replay.trace import MAX_SIZE_BYTES, READ, WRITE, CpuLimit, shown

_HEX = r"(?:0[xX])?[0-9a-fA-F]{1,16}"


class Lackey:
    """The text of `valgrind --tool=lackey --trace-mem=yes`; see `text_lines.LineKind`.

    Loads (L) are reads; stores (S) and modifies (M, one access that reads and writes) are writes,
    all by CPU 0. Instruction fetches (I), superblocks (SB), and lines of valgrind itself (== or --)
    are left out: the levels hold data.
    """

    LINE = re.compile(r"(?:I |SB| L| S| M)\s*[0-9a-fA-F]{1,16}(?:,\d+)?\s*")
    OWN = re.compile(r"(?:==|--|\*\*)\d+(?:==|--|\*\*)")
    _ACCESS = re.compile(r" [LSM] +[0-9a-fA-F]{1,16},(\d+)\s*")
    _LEFT_OUT = re.compile(r"(?:I |SB) *[0-9a-fA-F]{1,16}(?:,\d+)?\s*")

    def read(self, block: bytes) -> Accesses:
        """See `text_lines.LineKind`."""
        lines = lines_of(block)
        first = pc.binary_slice(pc.cast(lines, pa.binary()), 0, 2)
        kinds = pc.dictionary_encode(first)
        names = [bytes(name) for name in kinds.dictionary.to_pylist()]
        others = [name for name in names if name not in (b" L", b" S", b" M", b"I ", b"SB")]
        if any(name[:1] not in (b"=", b"-", b"*") for name in others):
            raise ValueError("a line")
        chosen = np.isin(kinds.indices.to_numpy(), [names.index(n) for n in _of(names, b"LSM")])
        written = np.isin(kinds.indices.to_numpy(), [names.index(n) for n in _of(names, b"SM")])
        text = pc.ascii_trim_whitespace(pc.utf8_slice_codeunits(lines.filter(chosen), 2))
        parts = pc.split_pattern(text, ",")
        if not pc.all(pc.equal(pc.list_value_length(parts), 2), min_count=0).as_py():
            raise ValueError("a line")
        size = integers(pc.list_element(parts, 1)) if len(text) else np.zeros(0, np.uint64)
        if len(size) and not 1 <= int(size.min()) <= int(size.max()) <= MAX_SIZE_BYTES:
            raise ValueError("a size")
        address = hexadecimal(pc.list_element(parts, 0)) if len(text) else size
        op = np.where(written[chosen], np.uint8(WRITE), np.uint8(READ))
        return Accesses(address, op, None, size.astype(np.uint32))

    def wrong(self, line: str) -> str | None:
        """See `text_lines.LineKind`."""
        match = self._ACCESS.fullmatch(line)
        if self.OWN.match(line) or self._LEFT_OUT.fullmatch(line):
            return None
        if match is None:
            return (
                f"{shown(line)} is no line of valgrind's lackey; allowed: I, SB, L, S or M with an"
                " address, and its size after a comma"
            )
        if not 1 <= int(match[1]) <= MAX_SIZE_BYTES:
            return f"size = {match[1]} is not allowed; allowed: 1 to {MAX_SIZE_BYTES}"
        return None


def _of(names: list[bytes], letters: bytes) -> list[bytes]:
    """The kinds of lackey's accesses by these letters."""
    return [name for name in names if name[:1] == b" " and name[1:] and name[1:] in letters]


class Dinero:
    """Dinero's traces, `-informat d`: a label and a hexadecimal address; see `LineKind`.

    Labels 0 (read) and 1 (write) are accesses within one line, by CPU 0; instruction fetches (2)
    and the rest of a line are left out.
    """

    LINE = re.compile(rf"\s*[0-4]\s+{_HEX}(?:\s.*)?")

    def read(self, block: bytes) -> Accesses:
        """See `text_lines.LineKind`."""
        parts = pc.ascii_split_whitespace(pc.ascii_trim_whitespace(lines_of(block)), max_splits=2)
        if len(parts) and pc.min(pc.list_value_length(parts)).as_py() < 2:
            raise ValueError("a line")
        label = pc.list_element(parts, 0)
        if pc.any(pc.invert(pc.is_in(label, pa.array(["0", "1", "2"])))).as_py():
            raise ValueError("a label")
        chosen = pc.not_equal(label, "2")
        text = pc.replace_substring_regex(pc.list_element(parts, 1).filter(chosen), "^0[xX]", "")
        op = np.where(pc.equal(label.filter(chosen), "1").to_numpy(False), WRITE, READ)
        return Accesses(hexadecimal(text), op.astype(np.uint8))

    def wrong(self, line: str) -> str | None:
        """See `text_lines.LineKind`."""
        if self.LINE.fullmatch(line) is None:
            return (
                f"{shown(line)} is no line of Dinero; allowed: a label 0, 1 or 2 and a hexadecimal"
                " address"
            )
        label = line.split()[0]
        if label in "34":
            told = "flushes the caches" if label == "4" else "is of an unknown type"
            return f"label {label}, which {told}, is not replayed; allowed: 0, 1, 2"
        return None


class DynamoRioView:
    """The text of DynamoRIO's `drrun -t drmemtrace -tool view`; see `text_lines.LineKind`.

    read and write are accesses, by the core that the thread's last marker named; markers and
    instruction fetches are left out.
    """

    LINE = re.compile(r"Output format:|\s*\d+\s+\d+:\s+-?\d+ (?:<|ifetch |read |write )")
    _RECORD = re.compile(r"\s*\d+\s+\d+:\s+(-?\d+) (.*)")
    _CORE = re.compile(r"<marker: tid -?\d+ on core (-?\d+)>")
    _ACCESS = re.compile(r"(?:read|write) +(\d+) byte\(s\) @ 0x([0-9a-fA-F]{1,16})(?: .*)?")
    _ANY = " byte(s) @ "

    def __init__(self, cpus: CpuLimit) -> None:
        self._limit = cpus
        self._cores: dict[str, int] = {}
        self._seen: dict[str, int] = {}

    def read(self, block: bytes) -> Accesses:
        """See `text_lines.LineKind`."""
        lines = lines_of(block)
        self._seen = dict(self._cores)  # for `wrong`, which begins where this block does
        told = pc.match_substring(lines, self._ANY)
        parts = pc.ascii_split_whitespace(
            pc.ascii_trim_whitespace(lines.filter(told)), max_splits=8
        )
        if len(parts) and pc.min(pc.list_value_length(parts)).as_py() < 8:
            raise ValueError("a line")
        kind = pc.list_element(parts, 3)
        if pc.any(pc.invert(pc.is_in(kind, pa.array(["read", "write", "ifetch"])))).as_py():
            raise ValueError("a record")
        chosen = pc.not_equal(kind, "ifetch")
        parts = parts.filter(chosen)
        at = np.flatnonzero(told.to_numpy(False))[chosen.to_numpy(False)]
        text = pc.list_element(parts, 7)
        if len(text) and not pc.all(pc.starts_with(text, "0x")).as_py():
            raise ValueError("an address")
        size = integers(pc.list_element(parts, 4))
        if len(size) and not 1 <= int(size.min()) <= int(size.max()) <= MAX_SIZE_BYTES:
            raise ValueError("a size")
        written = pc.equal(kind.filter(chosen), "write").to_numpy(False)
        return Accesses(
            hexadecimal(pc.utf8_slice_codeunits(text, 2)),
            np.where(written, np.uint8(WRITE), np.uint8(READ)),
            self._cpus(lines, at, pc.list_element(parts, 2)),
            size.astype(np.uint32),
        )

    def _cpus(self, lines: pa.Array, at: np.ndarray, thread: pa.Array) -> np.ndarray:
        """The core that each access' thread ran on; at: the accesses' places among the lines."""
        moves: dict[str, list[tuple[int, int]]] = {
            name: [(-1, core)] for name, core in self._cores.items()
        }
        markers = np.flatnonzero(pc.match_substring(lines, "<marker: tid ").to_numpy(False))
        for place in markers.tolist():
            record = self._RECORD.fullmatch(lines[place].as_py())
            core = record and self._CORE.fullmatch(record[2].strip())
            if record is None or not core or not 0 <= int(core[1]) < self._limit.cpus:
                raise ValueError("a marker")
            moves.setdefault(record[1], []).append((place, int(core[1])))
        cpu = np.zeros(len(at), np.uint16)
        threads = joined(thread).dictionary_encode()
        for number, name in enumerate(threads.dictionary.to_pylist()):
            own = threads.indices.to_numpy() == number
            places, cores = zip(*moves.get(name, [(1 << 62, 0)]), strict=True)
            last = np.searchsorted(places, at[own]) - 1
            if (last < 0).any():
                raise ValueError("no core")
            cpu[own] = np.array(cores)[last]
        self._cores = {name: found[-1][1] for name, found in moves.items()}
        return cpu

    def wrong(self, line: str) -> str | None:
        """See `text_lines.LineKind`."""
        record = self._RECORD.fullmatch(line)
        if record is None:
            return f"{shown(line)} is no line of DynamoRIO's view" if self._ANY in line else None
        thread, told = record[1], record[2].strip()
        if told.startswith("<marker: tid "):
            core = self._CORE.fullmatch(told)
            if core is None or not 0 <= int(core[1]) < self._limit.cpus:
                return f"{shown(told)} names no core; allowed: {self._limit}"
            self._seen[thread] = int(core[1])
        if self._ANY not in told or told.startswith("ifetch "):
            return None
        access = self._ACCESS.fullmatch(told)
        if access is None or not 1 <= int(access[1]) <= MAX_SIZE_BYTES:
            return f"{shown(told)} is no access of DynamoRIO's view; allowed: read, write, ifetch"
        if thread not in self._seen:
            return f"thread {thread} accesses memory before a marker names its core"
        return None
