"""Every value of a profile changes what is simulated, or the schema says what else it is for."""

from __future__ import annotations

from dataclasses import fields, is_dataclass, replace
from typing import Any

import numpy as np
import pytest

from cgsim.errors import UserError
from cgsim.machines import Machine, load_machine
from cgsim.machines.system_spec import system_spec

ELSEWHERE = {
    "clock.single_core_ghz": "the clock of busy sockets, in the counters' experiments",
    "clock.all_core_ghz": "the clock of busy sockets, in the counters' experiments",
    "window.integer_alus": "the width of counter loops",
    "window.call_return_cycles": "the calls of counter loops",
    "caches.0.line_bytes": "64 is all that is allowed",
    "caches.1.line_bytes": "64 is all that is allowed",
    "caches.2.line_bytes": "64 is all that is allowed",
    "caches.0.cycles_per_line": "the same rate as window.load_ports, or refused",
    "caches.0.cycles_per_line_of_place": "null, or refused",
    "caches.0.inclusion": "nine, or refused",
    "caches.1.inclusion": "nine, or refused",
    "caches.0.retention_half_ms": "null, or refused",
    "caches.1.retention_half_ms": "null, or refused",
}


def leaves(node: Any, where: str = "") -> list[str]:
    """Dotted names of the leaves of a machine's sections."""
    found = []
    for item in fields(node):
        value = getattr(node, item.name)
        name = f"{where}.{item.name}" if where else item.name
        if isinstance(value, tuple) and value and is_dataclass(value[0]):
            for number, level in enumerate(value):
                found += leaves(level, f"{name}.{number}")
        elif is_dataclass(value):
            found += leaves(value, name)
        elif "leaf" in item.metadata:
            found.append(name)
    return found


def changed(node: Any, path: list[str]) -> Any:
    """The same with another value at `path`."""
    if isinstance(node, tuple):
        at = int(path[0])
        return (*node[:at], changed(node[at], path[1:]), *node[at + 1 :])
    if len(path) > 1:
        return replace(node, **{path[0]: changed(getattr(node, path[0]), path[1:])})
    leaf = next(item for item in fields(node) if item.name == path[0]).metadata["leaf"]
    value = getattr(node, path[0])
    if leaf.names:
        other = next(name for name in leaf.names if name != value)
    else:
        other = (value or leaf.low or 1) * 2
    return replace(node, **{path[0]: other})


def same(one: Any, other: Any) -> bool:
    return all(np.array_equal(a, b) for a, b in zip(one, other, strict=True))


def spec(machine: Machine) -> tuple[Any, ...]:
    parts = system_spec(machine, cpus=machine.n_cpus)
    return tuple(
        part if not isinstance(part, tuple) else np.array(part, dtype=object) for part in parts
    )


def small() -> Machine:
    """A machine of four sockets that has every distance and every optional value."""
    large = load_machine("xeon-8176-8s")
    shape = replace(
        large.topology,
        sockets=4,
        cores_per_socket=4,
        cores_per_cluster=2,
        clusters_per_numa_node=1,
        sockets_per_interconnect=2,
    )
    return replace(large, topology=shape)


BASE = small()


@pytest.mark.parametrize("name", sorted(set(leaves(BASE)) - set(ELSEWHERE)))
def test_a_field_changes_the_timed_machine(name: str) -> None:
    other = changed(BASE, name.split("."))
    if BASE.n_cpus != other.n_cpus:
        return
    if name in ("caches.0.shared_by", "caches.2.shared_by"):
        with pytest.raises(UserError, match="are not modelled"):
            spec(other)
    else:
        assert not same(spec(BASE), spec(other))
