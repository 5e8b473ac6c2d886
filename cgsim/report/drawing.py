"""Drawings of a lookup: the objects it touches, their cache lines, and what waits for what.

Everything drawn was recorded: `cgsim.experiments.anatomy` plays the lookup in the traced reading. A
box is an object, a strip in it one cache line of 64 bytes, a number above it the access at those
bytes; an arrow leads from the access that loads an address to the accesses that use it.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, NamedTuple

from cgsim.report.figure import PAPER, styled

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

    from cgsim.experiments.anatomy import Anatomy, Object

_STRIP, _ROW, _LABEL, _TITLE, _GAP, _COLUMN = 64.0, 9.0, 10.0, 11.0, 12.0, 124.0
_UNITS_PER_INCH = 70.0
_SMALL = 7.0
"""Size of numbers and offsets, points."""
LETTER = 4.6
"""Width of one of them, drawing units, with some room."""
_MAX_COLUMNS = 7
_NAMES = {
    "bpf_cgroup_storage": "cgroup_storage",
    "bpf_storage_buffer": "storage_buffer",
    "bpf_cgroup_storage_map": "bpf_map",
    "bpf_local_storage": "local_storage",
    "bpf_local_storage_elem": "storage_elem",
    "bpf_local_storage_map": "bpf_map",
    "dmem_cgroup_pool_state": "dmem_pool_state",
}
"""Shorter names of structs, where the kernel's own would not fit."""
_LONGEST_NAME = 19


def short_name(struct: str) -> str:
    """A struct's name as drawings have it: without what it is placed in, cut where it is long."""
    name = _NAMES.get(struct, struct.partition(":")[2] or struct)
    return name if len(name) <= _LONGEST_NAME else f"{name[: _LONGEST_NAME - 1]}\u2026"


class _Box(NamedTuple):
    """An object's place: left and top in drawing units, lines by number from top to bottom."""

    left: float
    top: float
    lines: tuple[int, ...]

    def row(self, line: int) -> float:
        """The top of a line's strip, above which its numbers stand."""
        return self.top - _TITLE - _LABEL - (_ROW + _LABEL) * self.lines.index(line)

    @property
    def bottom(self) -> float:
        """Below the last strip."""
        return self.top - _TITLE - (_ROW + _LABEL) * len(self.lines)


def draw(anatomy: Anatomy) -> Figure:
    """The drawing of one lookup."""
    from matplotlib.figure import Figure

    boxes = _place(anatomy)
    width = max(box.left for box in boxes) + _COLUMN
    bottom = min(box.bottom for box in boxes) - 14
    with styled():
        size = (max(width, 200) / _UNITS_PER_INCH, (4 - bottom) / _UNITS_PER_INCH)
        figure = Figure(figsize=size)
        axes = figure.add_axes((0, 0, 1, 1))
        axes.set(xlim=(-14, max(width, 200) - 14), ylim=(bottom, 4), aspect="equal")
        axes.axis("off")
        for number, box in enumerate(boxes):
            _draw_box(axes, anatomy, number, box)
        _draw_accesses(axes, anatomy, boxes)
        _draw_arrows(axes, anatomy, boxes)
    return figure


def alt_text(anatomy: Anatomy) -> str:
    """What the drawing shows, in words."""
    order: list[str] = []
    for touch in anatomy.touches:
        name = anatomy.objects[touch.owner].struct
        if not order or order[-1] != name:
            order.append(name)
    return (
        f"Lookup of design {anatomy.design.name} among {anatomy.n_keys} keys: "
        f"{len(anatomy.touches)} accesses to {anatomy.lines} cache lines, "
        f"{anatomy.chain} of them one after the other; objects in order: {', '.join(order)}."
    )


def chain_words(anatomy: Anatomy) -> str:
    """The drawing's line of text: counts that were recorded."""
    accesses, lines, chain = len(anatomy.touches), anatomy.lines, anatomy.chain
    order = "nothing waits" if chain == 1 else f"{chain} must happen one after the other"
    return (
        f"{accesses} access{'es' if accesses != 1 else ''} to {lines} cache "
        f"line{'s' if lines != 1 else ''}; {order}"
    )


def _place(anatomy: Anatomy) -> list[_Box]:
    """A box per object: the column by the depth of its first access, stacked within a column."""
    depths = anatomy.depths()
    lines: list[list[int]] = [[] for _ in anatomy.objects]
    column: list[int] = [0] * len(anatomy.objects)
    for touch, depth in zip(anatomy.touches, depths, strict=True):
        if not lines[touch.owner]:
            column[touch.owner] = min(depth - 1, _MAX_COLUMNS - 1)
        if touch.line not in lines[touch.owner]:
            lines[touch.owner].append(touch.line)
    used = sorted(set(column))
    column = [used.index(depth) for depth in column]
    tops: dict[int, float] = {}
    boxes = []
    for owner, own in enumerate(lines):
        top = tops.get(column[owner], 0.0)
        box = _Box(column[owner] * _COLUMN, top, tuple(sorted(own)))
        tops[column[owner]] = box.bottom - _GAP
        boxes.append(box)
    return boxes


def _draw_box(axes: Axes, anatomy: Anatomy, number: int, box: _Box) -> None:
    from matplotlib.patches import Rectangle

    thing = anatomy.objects[number]
    name = short_name(thing.struct)
    axes.text(
        box.left, box.top - 5.5, name, fontsize=8, fontweight="bold", va="center", zorder=5,
        bbox=PAPER,
    )  # fmt: skip
    for line in box.lines:
        top = box.row(line)
        start = max(thing.address - 64 * line, 0)
        end = min(thing.address + thing.size_bytes - 64 * line, 64)
        axes.add_patch(
            Rectangle((box.left, top - _ROW), _STRIP, _ROW, facecolor="#ffffff",
                      edgecolor="#b5b5b5", linewidth=0.6)
        )  # fmt: skip
        axes.add_patch(
            Rectangle((box.left + start, top - _ROW), end - start, _ROW, facecolor="#eeeeee",
                      edgecolor="#222222", linewidth=0.9)
        )  # fmt: skip
        if thing.size_bytes > 64:
            axes.text(
                box.left + _STRIP + 2, top - _ROW / 2, _place_in(thing, line), zorder=5,
                fontsize=_SMALL, va="center", color="#444444", bbox=PAPER,
            )  # fmt: skip


def _place_in(thing: Object, line: int) -> str:
    """Which line of a large object a strip is: its offset, and the whole size."""
    return f"+{64 * line - thing.address:,}/{thing.size_bytes:,}"


def _draw_accesses(axes: Axes, anatomy: Anatomy, boxes: list[_Box]) -> None:
    """Dark bytes where an access falls, above them its number; several at one place together."""
    from matplotlib.patches import Rectangle

    numbers: dict[tuple[int, int], dict[int, list[int]]] = {}
    for index, touch in enumerate(anatomy.touches):
        strip = numbers.setdefault((touch.owner, touch.line), {})
        strip.setdefault(touch.offset, []).append(index)
    last = len(anatomy.touches) - 1
    for (owner, line), places in numbers.items():
        box = boxes[owner]
        top = box.row(line)
        labels = []
        for indices in (places[offset] for offset in sorted(places)):
            left, width = _span(anatomy, box, indices[0])
            is_datum = last in indices
            locked = any(anatomy.touches[index].operation == "RMW!" for index in indices)
            axes.add_patch(
                Rectangle((left, top - _ROW), width, _ROW, linewidth=0.6, edgecolor="#000000",
                          facecolor="#ffffff" if is_datum else ("#7f7f7f" if locked else "#2b2b2b"),
                          hatch="//////" if is_datum else None, zorder=3)
            )  # fmt: skip
            text = ",".join(str(index + 1) for index in indices) + (" locked" if locked else "")
            labels.append((left + width / 2, text))
        for place, (_, text) in zip(apart(labels, box.left), labels, strict=True):
            axes.text(
                place, top + 0.5, text, fontsize=_SMALL, fontweight="bold", va="bottom",
                ha="center", zorder=5, bbox=PAPER,
            )  # fmt: skip


def apart(labels: list[tuple[float, str]], left: float) -> list[float]:
    """Centres of labels (centre, text) in their order, none over another nor left of `left`."""
    centres: list[float] = []
    edge = left - 6
    for centre, text in labels:
        half = LETTER * (len(text) + 1) / 2
        centres.append(max(centre, edge + half))
        edge = centres[-1] + half
    return centres


def _span(anatomy: Anatomy, box: _Box, index: int) -> tuple[float, float]:
    """Left edge and width of an access in its strip."""
    touch = anatomy.touches[index]
    thing = anatomy.objects[touch.owner]
    offset = thing.address + touch.offset - 64 * touch.line
    return box.left + offset, min(float(touch.size), _STRIP - offset)


def _draw_arrows(axes: Axes, anatomy: Anatomy, boxes: list[_Box]) -> None:
    """An arrow from the bytes that hold an address to each line of another object it leads to."""
    drawn = set()
    for index, touch in enumerate(anatomy.touches):
        for parent in touch.deps:
            source = anatomy.touches[parent]
            if source.owner == touch.owner:
                continue
            pair = (source.owner, source.offset, touch.owner, touch.line)
            if pair in drawn:
                continue
            drawn.add(pair)
            start, width = _span(anatomy, boxes[source.owner], parent)
            end, extent = _span(anatomy, boxes[touch.owner], index)
            y_start = boxes[source.owner].row(source.line) - _ROW / 2
            y_end = boxes[touch.owner].row(touch.line) - _ROW / 2
            axes.annotate(
                "",
                xy=(end + extent / 2, y_end - _ROW / 2),
                xytext=(start + width / 2, y_start - _ROW / 2),
                zorder=0.5,
                arrowprops={
                    "arrowstyle": "-|>", "color": "#0072B2", "linewidth": 1.0, "zorder": 0.5,
                    "connectionstyle": "arc3,rad=0.16", "shrinkA": 0, "shrinkB": 0,
                    "mutation_scale": 8,
                },
            )  # fmt: skip
