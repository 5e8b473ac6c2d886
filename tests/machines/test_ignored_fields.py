"""What a profile states without effect, or beyond what is modelled, is refused by field."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import pytest

from cgsim.data import data_path
from cgsim.errors import UserError
from cgsim.machines import load_machine
from cgsim.machines.system_spec import system_spec
from cgsim.strict_yaml import read_yaml

if TYPE_CHECKING:
    from pathlib import Path


OF_PLACE = {"unit": "cycles", "source": "guest5"}


def edited(path: Path, **values: Any) -> Path:
    """zen5-vm with values at dotted names (`__` for the dot), as a file."""
    import json

    document = read_yaml(data_path("machines", "zen5-vm.yml"), "profile")
    for name, value in values.items():
        node = document
        *parents, last = name.split("__")
        for part in parents:
            node = node[part]
        node.setdefault(last, dict(OF_PLACE))["value"] = value
    path.write_text(json.dumps(document))
    return path


@pytest.mark.parametrize(
    ("values", "message"),
    [
        ({"caches__L1__inclusion": "inclusive"}, r"caches.L1.inclusion.value = 'inclusive'"),
        ({"caches__L2__inclusion": "victim"}, r"caches.L2.inclusion.value = 'victim'"),
        ({"caches__L1__retention_half_ms": 1}, r"caches.L1.retention_half_ms.value = 1"),
        ({"caches__L2__retention_half_ms": 5}, r"caches.L2.retention_half_ms.value = 5"),
        ({"caches__L1__cycles_per_line": 2}, r"caches.L1.cycles_per_line.value = 2"),
        ({"caches__L1__cycles_per_line_of_place": 7}, r"L1.cycles_per_line_of_place.value = 7"),
        ({"caches__L2__cycles_per_line_of_place": -1}, r"L2.cycles_per_line_of_place.value = -1"),
        ({"memory__link_ns_per_line": 1}, r"link_ns_per_line.value = 1.0 .*node_ns_per_line"),
        ({"tlb__entry_bytes_2m": 5000}, r"a power of two"),
        (
            {"topology__sockets": 64, "topology__cores_per_socket": 1024}
            | {"topology__cores_per_cluster": 1, "topology__clusters_per_numa_node": 1},
            r"at most 1024 NUMA nodes; this gives 65536",
        ),
    ],
)
def test_refused(values: dict[str, Any], message: str, tmp_path: Path) -> None:
    with pytest.raises(UserError, match=message):
        load_machine(edited(tmp_path / "mine.yml", **values))


@pytest.mark.parametrize("levels", [5, 9, 12])
def test_more_cache_levels_than_the_engine_has(levels: int, tmp_path: Path) -> None:
    import json

    document = read_yaml(data_path("machines", "zen5-vm.yml"), "profile")
    document["caches"] = {f"L{i + 1}": document["caches"]["L3"] for i in range(levels)}
    path = tmp_path / "mine.yml"
    path.write_text(json.dumps(document))
    with pytest.raises(UserError, match=f"caches has {levels} levels; allowed: at most 4"):
        load_machine(path)


def test_no_entry_of_a_split_tlb_is_lost() -> None:
    """32 entries for 2 MiB pages beside 6 ways for 4 KiB pages stay 32."""
    spec = system_spec(load_machine("sapphire-rapids"))
    assert spec.tlb.entries_1 == (96, 32, 8)
    assert spec.tlb.ways_1 == (6, 4, 4)
