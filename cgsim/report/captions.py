"""A figure's caption: of which machine, sizes and seeds it is, read off the frames behind it."""

from __future__ import annotations

from collections.abc import Iterable
from typing import TYPE_CHECKING, Any

import pandas as pd

from cgsim.report.sentences import join_names

if TYPE_CHECKING:
    from collections.abc import Sequence

# fact -> (columns that hold it, the words of one and of several)
_FACTS: dict[str, tuple[tuple[str, ...], str, str]] = {
    "machine": (("machine",), "{}", "{}"),
    "kernel": (("kernel",), "kernel {}", "kernels {}"),
    "user": (("user",), "{}", "{}"),
    "keys": (("n_keys",), "{} key", "{} keys"),
    "cgroups": (("n_cgroups", "cgroups"), "{} cgroup", "{} cgroups"),
    "cpus": (("cpus",), "{} CPU", "{} CPUs"),
    "seeds": (("seeds", "seed"), "seed {}", "seeds {}"),
}


def caption(*frames: pd.DataFrame, **facts: Any) -> str:
    """'zen5-vm, kernel 7.3.4, packet-hook, 1 to 64 keys, 1000 cgroups, seeds 1 to 3'.

    frames : what the figure is drawn from; replicates, or a summary with its `seeds`. facts : what
    no frame says, a value or several: machine, kernel, user, keys, cgroups, cpus, seeds.
    """
    parts = []
    for name, (columns, one, many) in _FACTS.items():
        values = _several(facts[name]) if name in facts else _found(frames, columns)
        if not values:
            continue
        text = _words(values)
        parts.append((one if values == [1] or (len(values) == 1 and name in _ALONE) else many)
                     .format(text))  # fmt: skip
    return ", ".join(parts)


_ALONE = ("kernel", "seeds")
"""Whose one value is a name, not a number of things."""


def _found(frames: Sequence[pd.DataFrame], columns: Sequence[str]) -> list[Any]:
    """The different values in the first of these columns that each frame has."""
    found: dict[Any, None] = {}
    for frame in frames:
        column = next((name for name in columns if name in frame), None)
        for value in () if column is None else frame[column].dropna():
            found |= dict.fromkeys(_several(value))
    return list(found)


def _several(value: Any) -> list[Any]:
    """Several values, or the one."""
    if isinstance(value, str) or not isinstance(value, Iterable):
        return [value]
    return list(dict.fromkeys(value))


def _words(values: Sequence[Any]) -> str:
    """Names, a number, or the ends of a range."""
    if isinstance(values[0], str):
        return join_names(values)
    low, high = min(values), max(values)
    return f"{low:g}" if low == high else f"{low:,g} to {high:,g}"
