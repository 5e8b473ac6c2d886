"""Machine profiles: what comes with the package is complete, what a user writes is checked."""

from __future__ import annotations

import json
import pickle
import subprocess
import sys
from copy import deepcopy
from dataclasses import FrozenInstanceError, fields, is_dataclass
from functools import cache
from typing import TYPE_CHECKING, get_type_hints

import pytest
import yaml

from cgsim.data import data_path
from cgsim.errors import UserError
from cgsim.machines import (
    Cache,
    Distance,
    Machine,
    explain,
    find_published,
    list_machines,
    load_machine,
    reader,
)

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

WANTED = {
    "icelake-sp",
    "neoverse-n1",
    "neoverse-v1",
    "sapphire-rapids",
    "skylake-sp",
    "xeon-8176-8s",
    "zen2-rome",
    "zen3-milan",
    "zen4-genoa",
    "zen5-turin",
    "zen5-vm",
}


@cache
def parsed(name: str) -> dict:
    return yaml.safe_load(data_path("machines", f"{name}.yml").read_text())


def plain(name: str) -> dict:
    """A profile's own text as plain containers, with `{value: ...}` leaves; the caller's own."""
    return deepcopy(parsed(name))


def leaves(node: object, where: str = "") -> dict[str, dict[str, object]]:
    """Every `{value, unit, ...}` of a parsed profile by its dotted name."""
    if not isinstance(node, dict):
        return {}
    if "value" in node:
        return {where: node}
    found: dict[str, dict[str, object]] = {}
    for key, child in node.items():
        found.update(leaves(child, f"{where}.{key}" if where else key))
    return found


# --- what comes with the package -----------------------------------------------------------------


def test_the_wanted_profiles_are_there() -> None:
    assert set(list_machines()) >= WANTED
    assert list(list_machines()) == sorted(list_machines())


@pytest.mark.parametrize("name", list_machines())
def test_profile_loads_and_says_where_every_value_comes_from(name: str) -> None:
    machine = load_machine(name)
    assert machine.name == name
    rows = {row.field: row for row in explain(machine)}
    in_file = leaves(plain(name))
    assert set(rows) == set(in_file)
    for field, row in rows.items():
        assert row.value == in_file[field]["value"]
        assert row.unit == in_file[field]["unit"]
        assert len(row.source) > 5
        assert row.is_verified == ("source" in in_file[field])
        assert row.source.startswith("unverified: ") == ("unverified" in in_file[field])


@pytest.mark.parametrize("name", list_machines())
def test_profile_is_plausible(name: str) -> None:
    machine = load_machine(name)
    assert [level.name for level in machine.caches] == ["L1", "L2", "L3"]
    assert machine.n_cpus <= 512
    for level in machine.caches:
        assert level.sets * level.ways * level.line_bytes == level.size_bytes
    assert 3 <= machine.caches[0].load_to_use_cycles <= 6
    # The farthest cache answers before DRAM does, and a transfer is no quicker than L1.
    assert machine.ns(machine.caches[-1].load_to_use_cycles) < machine.memory.local_ns
    assert machine.ns(machine.caches[0].load_to_use_cycles) <= (
        machine.coherence.transfer_ns.same_core + 0.05
    )
    assert machine.window.locked_rmw_cycles > machine.caches[0].load_to_use_cycles


@pytest.mark.parametrize("name", list_machines())
def test_machine_is_hashable_picklable_and_frozen(name: str) -> None:
    machine = load_machine(name)
    again = pickle.loads(pickle.dumps(machine))
    assert again == machine
    assert hash(again) == hash(machine)
    assert explain(again) == explain(machine)
    with pytest.raises(FrozenInstanceError):
        machine.window.rob_entries = 1  # type: ignore[misc]


def test_no_profile_equals_another() -> None:
    assert len({load_machine(name) for name in list_machines()}) == len(list_machines())


def test_machines_need_no_numba() -> None:
    code = (
        "import sys, cgsim.machines as m; m.load_machine('zen5-vm'); print('numba' in sys.modules)"
    )
    ran = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert ran.stdout.strip() == "False"


def test_the_readme_describes_every_field() -> None:
    readme = data_path("machines", "README.md").read_text()

    def names(cls: type) -> set[str]:
        hints = get_type_hints(cls)
        found = set()
        for item in fields(cls):
            if "leaf" in item.metadata:
                found.add(reader.key_of(item.name))
            elif is_dataclass(hints[item.name]):
                found |= {item.name} | names(hints[item.name])
        return found

    for cls in (Machine, Cache):
        for name in names(cls):
            assert f"`{name}`" in readme, name


def test_the_guest_profile_follows_its_measurements() -> None:
    """zen5-vm takes its values from one file: the plain ones are looked up in it here."""
    measured = json.loads(data_path("kernel", "zen5_vm_measured.json").read_text())
    micro, machine = measured["micro"], load_machine("zen5-vm")
    assert machine.window.locked_rmw_cycles == pytest.approx(
        micro["locked_add_same_line"]["cycles"], abs=0.5
    )
    assert machine.window.mispredict_cycles == pytest.approx(
        micro["branch_mispredict_penalty"]["cycles"], abs=0.5
    )
    assert machine.window.call_return_cycles == pytest.approx(
        micro["call_ret_pair"]["cycles"], abs=0.5
    )
    assert machine.window.lfence_cycles == pytest.approx(micro["lfence"]["cycles"], abs=0.5)
    assert machine.window.multiply_cycles == pytest.approx(micro["imul_latency"]["cycles"], abs=0.5)
    level = micro["L1_load_to_use_pointer_chase"]["cycles"]
    assert machine.caches[0].load_to_use_cycles == pytest.approx(level, abs=0.5)
    assert machine.window.indexed_load_extra_cycles == pytest.approx(
        micro["L1_load_to_use_indexed"]["cycles"] - level, abs=0.5
    )
    ladder = {
        row["ws_bytes"]: row["cycles"]
        for row in measured["ladder"]
        if row["pattern"] == "random_cycle" and row["pages"] == "4k"
    }
    l2, l3 = machine.caches[1], machine.caches[2]
    assert l2.load_to_use_cycles == pytest.approx(ladder[131072], abs=0.5)
    in_l3 = l3.load_to_use_cycles + machine.tlb.l2_hit_extra_cycles
    assert in_l3 == pytest.approx(ladder[4 << 20], rel=0.03)
    in_memory = machine.cycles(machine.memory.local_ns) + machine.tlb.l2_hit_extra_cycles
    assert in_memory + machine.tlb.walk_cycles_4k == pytest.approx(ladder[48 << 20], rel=0.03)
    huge = {
        row["ws_bytes"]: row["cycles"]
        for row in measured["ladder"]
        if row["pattern"] == "random_cycle" and row["pages"] == "huge"
    }
    assert in_memory + machine.tlb.walk_cycles_2m == pytest.approx(huge[64 << 20], rel=0.03)


@pytest.mark.parametrize(
    ("distance", "case"),
    [
        ("same_core", "on-core"),
        ("same_cluster", "off-core"),
        ("other_socket", "off-socket"),
        ("far_socket", "cross-interconnect"),
    ],
)
def test_the_eight_socket_machine_gives_its_published_cas_times_back(
    distance: str, case: str
) -> None:
    """A blind CAS: a transfer and the rest of the atomic; one that loads first adds an upgrade."""
    rows = {}
    for line in data_path("published", "published.csv").read_text().splitlines():
        if line.startswith("perfbook_cas"):
            cells = line.rsplit('"', 1)[1].split(",")
            rows[cells[1]] = float(cells[3])
    machine = load_machine("xeon-8176-8s")
    l1 = machine.caches[0].load_to_use_cycles
    transfer = getattr(machine.coherence.transfer_ns, distance)
    blind = transfer + machine.ns(machine.window.locked_rmw_cycles - l1)
    assert blind == pytest.approx(rows[f"{case} blind CAS"], abs=0.1)
    upgrade = getattr(machine.coherence.invalidate_ns, distance)
    assert blind + upgrade == pytest.approx(rows[f"{case} CAS"], abs=0.15)


def test_published_machines_are_found_by_their_name() -> None:
    assert find_published("8-socket Xeon Platinum 8176, 448 CPUs").name == "xeon-8176-8s"
    assert find_published("AMD Milan, up to 128 CPUs").name == "milan-guest"
    text = data_path("published", "published.csv").read_text()
    claimed = [name for m in list_machines() for name in load_machine(m).published_as]
    assert len(claimed) == len(set(claimed))
    for name in claimed:
        assert name in text
    with pytest.raises(UserError, match=r"did you mean 'AMD Milan, up to 128 CPUs'"):
        find_published("AMD Milan, up to 64 CPUs")


# --- topology ------------------------------------------------------------------------------------


def test_cpus_of_the_eight_socket_machine() -> None:
    """As its lscpu has it: node 0 is CPUs 0-27 and 224-251."""
    machine = load_machine("xeon-8176-8s")
    assert (machine.n_cpus, machine.n_cores, machine.n_clusters) == (448, 224, 8)
    node0 = [cpu for cpu in range(448) if machine.numa_node_of(cpu) == 0]
    assert node0 == [*range(28), *range(224, 252)]
    assert machine.distance(0, 0) == Distance.SAME_CORE
    assert machine.distance(0, 224) == Distance.SAME_CORE
    assert machine.distance(0, 27) == Distance.SAME_CLUSTER
    assert machine.distance(0, 28) == Distance.OTHER_SOCKET
    assert machine.distance(0, 111) == Distance.OTHER_SOCKET
    assert machine.distance(0, 112) == Distance.FAR_SOCKET
    assert machine.distance(447, 0) == Distance.FAR_SOCKET
    assert machine.memory_ns(0, 0) == machine.memory.local_ns
    assert machine.memory_ns(0, 3) == machine.memory.remote_ns
    assert machine.memory_ns(0, 4) == machine.memory.far_ns


def test_cpus_with_clusters_and_neighbouring_siblings() -> None:
    rome, guest = load_machine("zen2-rome"), load_machine("milan-guest")
    assert rome.distance(0, 128) == Distance.SAME_CORE
    assert rome.distance(0, 3) == Distance.SAME_CLUSTER
    assert rome.distance(0, 4) == Distance.SAME_SOCKET
    assert rome.distance(0, 64) == Distance.OTHER_SOCKET
    assert guest.distance(0, 1) == Distance.SAME_CORE
    assert guest.distance(1, 2) == Distance.SAME_CLUSTER
    assert guest.distance(0, 16) == Distance.SAME_SOCKET
    # 83 cores in clusters of 8: the last cluster has 3.
    assert guest.n_clusters == 11
    assert guest.cluster_of(165) == 10


@pytest.mark.parametrize("name", list_machines())
def test_every_cpu_has_a_place(name: str) -> None:
    machine = load_machine(name)
    per_core = [0] * machine.n_cores
    for cpu in range(machine.n_cpus):
        per_core[machine.core_of(cpu)] += 1
        assert machine.cluster_of(cpu) < machine.n_clusters
        assert machine.numa_node_of(cpu) < machine.n_numa_nodes
        assert machine.distance(cpu, 0) == machine.distance(0, cpu)
    assert set(per_core) == {machine.topology.threads_per_core}
    with pytest.raises(UserError, match="allowed: 0"):
        machine.core_of(machine.n_cpus)


def test_units_and_clocks() -> None:
    machine = load_machine("xeon-8176-8s")
    assert machine.cycles(machine.ns(14.0)) == pytest.approx(14.0)
    # Its L3 is given in ns, and held in cycles.
    assert machine.caches[2].load_to_use_cycles == pytest.approx(17.0 * machine.ghz)
    assert machine.busy_ghz(1) == machine.clock.single_core_ghz
    assert machine.busy_ghz(28) == machine.clock.all_core_ghz
    assert machine.busy_ghz(400) == machine.clock.all_core_ghz
    guest = load_machine("zen5-vm")
    assert guest.busy_ghz(2) == guest.ghz


# --- what a user writes --------------------------------------------------------------------------


def set_leaf(name: str, **entry: object) -> Callable[[dict], None]:
    """Change parts of one leaf; a part that is None here is removed."""

    def edit(document: dict) -> None:
        node = document
        for key in name.split("."):
            node = node[key]
        for key, value in entry.items():
            if value == "<remove>":
                del node[key]
            else:
                node[key] = value

    return edit


def remove(name: str) -> Callable[[dict], None]:
    def edit(document: dict) -> None:
        *parents, last = name.split(".")
        node = document
        for key in parents:
            node = node[key]
        del node[last]

    return edit


def replace(name: str, value: object) -> Callable[[dict], None]:
    def edit(document: dict) -> None:
        *parents, last = name.split(".")
        node = document
        for key in parents:
            node = node[key]
        node[last] = value

    return edit


BAD = [
    (remove("tlb.l2_entries"), "missing field 'tlb.l2_entries'"),
    (remove("caches.L2.ways"), "missing field 'caches.L2.ways'"),
    (remove("caches.L1"), "missing field 'caches.L1'|unknown field 'caches.L3'"),
    (remove("coherence.transfer_ns.far_socket"), "missing field 'coherence.transfer_ns.far_socket"),
    (remove("vendor"), "missing field 'vendor'"),
    (remove("schema"), r"schema = None is not allowed; allowed: 1"),
    (replace("schema", 2), r"schema = 2 is not allowed; allowed: 1"),
    (replace("schema", True), r"schema = True is not allowed"),
    (replace("schema", "1"), r"schema = '1' is not allowed"),
    (replace("title", 3), r"title = 3 is not allowed; allowed: text"),
    (replace("published_as", "x"), r"published_as = 'x' is not allowed; allowed: a list"),
    (replace("window", 3), r"window = 3 is not allowed; allowed: a mapping"),
    (replace("caches", []), r"caches = \[\] is not allowed"),
    (replace("sources", None), r"sources = None is not allowed"),
    (replace("sources.spare", "x"), r"sources.spare = 'x' is not allowed; allowed: sources that"),
    (replace("window.rob_entry", {}), r"unknown field 'window.rob_entry' \(did you mean 'rob_ent"),
    (replace("windows", {}), r"unknown field 'windows' \(did you mean 'window'"),
    (replace("window.rob_entries", 448), r"window.rob_entries = 448 is not allowed; .*\{value, un"),
    (replace("memory.local_ns.note", "x"), r"unknown field 'memory.local_ns.note'"),
    (set_leaf("memory.local_ns", unit="cycles"), r"memory.local_ns.unit = 'cycles' .* allowed: ns"),
    (set_leaf("caches.L3.load_to_use", unit="us"), r"load_to_use.unit = 'us' .* cycles or ns"),
    (set_leaf("clock.ghz", unit="MHz"), r"clock.ghz.unit = 'MHz' .* allowed: GHz"),
    (set_leaf("memory.local_ns", value=-1), r"memory.local_ns.value = -1 .* a number in 1"),
    (set_leaf("window.rob_entries", value=0), r"rob_entries.value = 0 .* a whole number in 1"),
    (set_leaf("window.rob_entries", value=2.5), r"rob_entries.value = 2.5 .* a whole number"),
    (set_leaf("window.rob_entries", value="448"), r"rob_entries.value = '448' .* a whole number"),
    (set_leaf("memory.local_ns", value="131"), r"local_ns.value = '131' .* a number"),
    (set_leaf("memory.local_ns", value=True), r"local_ns.value = True .* a number"),
    (set_leaf("memory.local_ns", value=None), r"local_ns.value = None .* a number"),
    (set_leaf("memory.local_ns", value=float("nan")), r"local_ns.value = nan .* a number"),
    (set_leaf("memory.local_ns", value=float("inf")), r"local_ns.value = inf .* a number"),
    (set_leaf("memory.ns_per_line", value="x"), r"ns_per_line.value = 'x' .* or null"),
    (set_leaf("caches.L2.index", value="xor"), r"index.value = 'xor' .* plain or hashed"),
    (set_leaf("caches.L2.index", value=1), r"index.value = 1 .* plain or hashed"),
    (set_leaf("memory.local_ns", source="<remove>"), r"missing field 'memory.local_ns.source'"),
    (set_leaf("memory.local_ns", unverified="both"), r"unknown field 'memory.local_ns.source'"),
    (set_leaf("memory.local_ns", source=""), r"memory.local_ns.source = '' .* allowed: text"),
    (
        set_leaf("memory.local_ns", source="gues; x"),
        r"source = 'gues; x' .* KEY of calibrated, definition, guest5",
    ),
    (set_leaf("memory.remote_ns", value=100), r"memory.remote_ns = .* at least memory.local_ns"),
    (set_leaf("caches.L2.load_to_use", value=3), r"L2.load_to_use = 3.* at least caches.L1.load"),
    (set_leaf("caches.L2.size_bytes", value=1000000), r"a multiple of ways \* line_bytes = 1024"),
    (set_leaf("caches.L1.line_bytes", value=128), r"L1.line_bytes.value = 128 .* 64..64"),
    (set_leaf("tlb.l2_ways", value=24), r"tlb.l2_entries.value = 4096 .* a multiple of l2_ways"),
    (set_leaf("topology.cores_per_cluster", value=8), r"cores_per_cluster.value = 8 .* at most"),
    (set_leaf("coherence.transfer_ns.far_socket", value=1), r"far_socket = 1.* at least coher"),
]


@pytest.mark.parametrize(("edit", "message"), BAD, ids=[message[:40] for _, message in BAD])
def test_a_bad_profile_gets_one_clear_line(
    edit: Callable[[dict], None], message: str, tmp_path: Path
) -> None:
    document = plain("zen5-vm")
    edit(document)
    path = tmp_path / "mine.yml"
    path.write_text(yaml.safe_dump(document))
    with pytest.raises(UserError, match=message) as caught:
        load_machine(path)
    assert str(path) in str(caught.value)
    assert "\n" not in str(caught.value)


def test_the_unedited_copy_is_good(tmp_path: Path) -> None:
    path = tmp_path / "mine.yaml"
    path.write_text(yaml.safe_dump(plain("zen5-vm")))
    assert load_machine(path) == load_machine(str(path)) == load_machine("zen5-vm")


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("schema: [1\n", r"mine.yml:\d+:\d+: not valid YAML: "),
        (
            "schema: 1\nname: a\nname: b\n",
            r"mine.yml:3:1: not valid YAML: key 'name' is given twic",
        ),
        ("schema: 1\n1: a\n", r"mine.yml:2:1: not valid YAML: key 1 is not text"),
        (
            "schema: !!python/object:os.system {}\n",
            r"mine.yml:1:9: not valid YAML: tag 'tag:yaml",
        ),
        ("a: \x00\n", r"mine.yml: not valid YAML: "),
        ("", r"mine.yml: not a machine profile: the file must be a mapping"),
        ("- 1\n", r"not a machine profile"),
        ("? {a: 1}\n: 2\n", r"not valid YAML: "),
    ],
)
def test_a_malformed_file_gets_one_clear_line(text: str, message: str, tmp_path: Path) -> None:
    path = tmp_path / "mine.yml"
    path.write_text(text)
    with pytest.raises(UserError, match=message) as caught:
        load_machine(path)
    assert "\n" not in str(caught.value)


def test_a_file_that_cannot_be_read(tmp_path: Path) -> None:
    with pytest.raises(UserError, match=r"none.yml: cannot read the machine profile: No such file"):
        load_machine(tmp_path / "none.yml")
    with pytest.raises(UserError, match=r"cannot read the machine profile: Is a directory"):
        load_machine(tmp_path)
    binary = tmp_path / "binary.yml"
    binary.write_bytes(b"\xff\xfe\x80")
    with pytest.raises(UserError, match=r"not UTF-8 text"):
        load_machine(binary)


def test_an_unknown_name_gets_a_hint() -> None:
    with pytest.raises(UserError, match=r"unknown machine 'zen5-vn' \(did you mean 'zen5-vm'\?\)"):
        load_machine("zen5-vn")
    with pytest.raises(UserError, match=r"unknown machine ''"):
        load_machine("")
