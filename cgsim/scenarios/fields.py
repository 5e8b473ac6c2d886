"""Names of fields, as the recording of the kernels' machine code gives them.

A name is looked up by (struct, offset, size) among the recorded accesses, then by the offsets of
`data/kernel/offsets.json`. Where a recorded field is an element of an array (`slots[5]`), the other
elements are named by its stride.
"""

from __future__ import annotations

import functools
import json
import re
from typing import TYPE_CHECKING, Any

from cgsim.data import data_path

if TYPE_CHECKING:
    from cgsim.kernel import Kernel

_INDEX = re.compile(r"\[(\d+)\]")
_STRIDES = {"items": 24}  # bpf_prog_array_item; every other recorded array is of words
_WORD = 8
_ENDS = {"slots": 64, "subsys": 14, "cache": 16, "items": 65, "effective": 38}


@functools.cache
def recorded_rows() -> tuple[dict[str, Any], ...]:
    """All recorded scenarios (`data/kernel/traces.jsonl`), in the file's order."""
    text = data_path("kernel", "traces.jsonl").read_text(encoding="utf-8")
    return tuple(json.loads(line) for line in text.splitlines() if line)


def rows_of(kernel: Kernel) -> list[dict[str, Any]]:
    """The recorded rows of a kernel; code recompiled from its source counts as its own."""
    return [row for row in recorded_rows() if row["kernel_version"].startswith(kernel.version)]


@functools.cache
def _names(
    version: str,
) -> tuple[dict[tuple[str, int, int], str | None], dict[str, list[tuple[str, str, int, int]]]]:
    exact: dict[tuple[str, int, int], str | None] = {}
    arrays: dict[str, list[tuple[str, str, int, int]]] = {}
    for row in recorded_rows():
        if not row["kernel_version"].startswith(version):
            continue
        for access in row["accesses"]:
            struct, name = access["struct"], access["field"]
            exact[struct, access["offset"], access["size"]] = name
            found = _INDEX.search(name or "")
            if found is None or name[: found.start()] not in _ENDS:
                continue
            base = name[: found.start()]
            stride = _STRIDES.get(base, _WORD)
            start = access["offset"] - stride * int(found[1])
            entry = (base, name[found.end() :], start, stride)
            if entry not in arrays.setdefault(struct, []):
                arrays[struct].append(entry)
    return exact, arrays


def field_name(kernel: Kernel, struct: str, offset: int, size: int) -> str | None:
    """The field's name at `offset` of a struct; None where neither source names it."""
    exact, arrays = _names(kernel.version)
    if (struct, offset, size) in exact:
        return exact[struct, offset, size]
    for base, rest, start, stride in arrays.get(struct, ()):
        index, odd = divmod(offset - start, stride)
        if odd == 0 and 0 <= index < _ENDS[base]:
            return f"{base}[{index}]{rest}"
    facts = kernel.structs.get(struct)
    for name, at in facts["offsets"].items() if facts else ():
        if at == offset:
            return str(name)
    return None


def without_index(name: str | None) -> str | None:
    """A field's name with its array indices taken out."""
    return None if name is None else _INDEX.sub("[]", name)


def nested(kernel: Kernel, struct: str, offset: int) -> tuple[str, int]:
    """(struct, offset) as the recording names a place inside an object.

    A field of a bpf_prog_array's item is named from the item, except `prog`, named from the array.
    """
    if struct == "bpf_prog_array":
        items = kernel.offset(struct, "items")
        within = (offset - items) % kernel.size("bpf_prog_array_item")
        if offset >= items and within != 0:
            return "bpf_prog_array_item", within
    return struct, offset
