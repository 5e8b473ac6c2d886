"""The machine that the system states: read from a made-up /sys and /proc, completed, written."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING

import pytest

from cgsim.cli.command_line import run
from cgsim.errors import UserError
from cgsim.machines import load_machine
from cgsim.machines.host import (
    host_document,
    host_machine,
    nearest_profile,
    profile_text,
    read_host,
)

if TYPE_CHECKING:
    from pathlib import Path

CACHES = (
    (1, "Data", "32K", 8, "0,4"),
    (1, "Instruction", "32K", 8, "0,4"),
    (2, "Unified", "1024K", 8, "0,4"),
    (3, "Unified", "16M", 16, "0-1,4-5"),
)


def _write(path: Path, text: object) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(f"{text}\n")


@pytest.fixture
def root(tmp_path: Path) -> Path:
    """One socket of 4 cores with 2 threads each, two clusters, no frequency stated."""
    system = tmp_path / "sys/devices/system"
    _write(system / "cpu/online", "0-7")
    _write(system / "node/online", "0")
    for cpu in range(8):
        topology = system / f"cpu/cpu{cpu}/topology"
        _write(topology / "physical_package_id", 0)
        _write(topology / "thread_siblings_list", f"{cpu % 4},{cpu % 4 + 4}")
    for i, (level, kind, size, ways, shared) in enumerate(CACHES):
        index = system / f"cpu/cpu0/cache/index{i}"
        for name, value in (
            ("level", level),
            ("type", kind),
            ("size", size),
            ("ways_of_associativity", ways),
            ("shared_cpu_list", shared),
            ("coherency_line_size", 64),
        ):
            _write(index / name, value)
    _cpuinfo(tmp_path, 25, 17)
    return tmp_path


def _cpuinfo(root: Path, family: int, model: int, flags: str = "fpu") -> None:
    _write(
        root / "proc/cpuinfo",
        f"processor\t: 0\nvendor_id\t: AuthenticAMD\ncpu family\t: {family}\nmodel\t\t: {model}\n"
        f"model name\t: AMD Test\ncpu MHz\t\t: 2400.0\nflags\t\t: {flags}\n\nprocessor\t: 1",
    )


def test_what_the_system_states_is_taken(root: Path) -> None:
    machine = host_machine(host_document(read_host(root)))
    topology = machine.topology
    assert (topology.sockets, topology.cores_per_socket, topology.threads_per_core) == (1, 4, 2)
    assert (topology.cores_per_cluster, topology.clusters_per_numa_node) == (2, 2)
    assert topology.cpu_numbering == "cores-first"
    assert [cache.size_bytes for cache in machine.caches] == [32 << 10, 1 << 20, 16 << 20]
    assert [cache.ways for cache in machine.caches] == [8, 8, 16]
    assert [cache.shared_by for cache in machine.caches] == ["core", "core", "cluster"]


def test_the_rest_is_another_profiles_and_says_so(root: Path) -> None:
    machine = host_machine(host_document(read_host(root)))
    assert machine.window == load_machine("zen4-genoa").window
    rows = {row.field: row for row in machine.provenance}
    assert rows["window.rob_entries"].source.startswith("unverified: as zen4-genoa: ")
    assert "2400" in rows["clock.ghz"].source
    assert "this system's" in rows["caches.L2.size_bytes"].source
    assert machine.ghz == load_machine("zen4-genoa").ghz


def test_a_stated_frequency_is_the_clock(root: Path) -> None:
    _write(root / "sys/devices/system/cpu/cpu0/cpufreq/cpuinfo_max_freq", 3700000)
    assert host_machine(host_document(read_host(root))).ghz == 3.7


def test_a_written_profile_is_read_back(root: Path, tmp_path: Path) -> None:
    document = host_document(read_host(root), "icelake-sp")
    path = tmp_path / "host.yml"
    path.write_text(profile_text(document, ["a comment"]))
    assert load_machine(path) == host_machine(document)
    assert load_machine(path).provenance == host_machine(document).provenance


def test_the_nearest_profile_is_of_the_same_core(root: Path) -> None:
    assert nearest_profile(read_host(root))[0] == "zen4-genoa"
    _cpuinfo(root, 26, 2)
    assert nearest_profile(read_host(root))[0] == "zen5-turin"
    _cpuinfo(root, 26, 2, "fpu hypervisor")
    assert nearest_profile(read_host(root))[0] == "zen5-vm"
    _cpuinfo(root, 99, 2)
    name, why = nearest_profile(read_host(root))
    assert load_machine(name).vendor == "AMD"
    assert "no profile of this core" in why


def test_what_cannot_be_modelled_is_refused(root: Path) -> None:
    host = read_host(root)
    with pytest.raises(UserError, match="nearest = 'zen9' is not allowed"):
        host_document(host, "zen9")
    _write(root / "sys/devices/system/cpu/cpu0/cache/index0/coherency_line_size", 128)
    with pytest.raises(UserError, match="lines of 128 bytes"):
        read_host(root)
    with pytest.raises(UserError, match="only Linux"):
        read_host(root / "elsewhere")


def test_the_verb_writes_a_profile(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    path = tmp_path / "host.yml"
    assert run(["machines", "--from-host", "--out", str(path), "--json"]) == 0
    printed = json.loads(capsys.readouterr().out)
    assert load_machine(path).name == printed["name"] == "host"
    assert run(["machines", "--from-host", "zen5-vm"]) == 2
    assert run(["machines", "--out", str(path)]) == 2
    assert "--out goes with --from-host" in capsys.readouterr().err
