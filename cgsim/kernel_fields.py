"""Names of fields, as the recording of the kernels' machine code gives them.

A name is looked up by (struct, offset, size) among the recorded accesses, then by the offsets of
`data/kernel/offsets.json`. Where a recorded field is an element of an array (`slots[5]`), the other
elements are named by its stride.
"""

from __future__ import annotations

import functools
import re
from typing import TYPE_CHECKING

from cgsim.kernel import recorded_rows, rows_of

if TYPE_CHECKING:
    from cgsim.kernel import Kernel

__all__ = ["field_name", "nested", "recorded_rows", "rows_of", "without_index"]

_INDEX = re.compile(r"\[(\d+)\]")
_STRIDES = {"items": 24}  # bpf_prog_array_item; every other recorded array is of words
_WORD = 8
_ENDS = {"slots": 64, "subsys": 14, "cache": 16, "items": 1 << 20, "bpf.effective": 38}
_TABLES = {"bucket_table": 64}
"""Tables without an element's name: where their elements begin. All go by one recorded name."""


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
            if access["offset"] >= _TABLES.get(struct, access["offset"] + 1):
                exact[struct, _TABLES[struct], _WORD] = name
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
    if in_table(struct, offset):
        offset = _TABLES[struct]
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


def in_table(struct: str, offset: int) -> bool:
    """True for an element of a table whose elements have no name of their own."""
    return struct in _TABLES and offset >= _TABLES[struct]


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
