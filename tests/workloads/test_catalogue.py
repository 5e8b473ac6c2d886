"""The files of workloads: complete, sourced, and refused in one line where they are wrong."""

from __future__ import annotations

import dataclasses
import pickle
import shutil
from typing import TYPE_CHECKING, Any

import numpy as np
import pytest
import yaml

from cgsim.data import data_path
from cgsim.errors import UserError
from cgsim.workloads import GpuWorkload, explain, list_workloads, load_workload, make_stream
from cgsim.workloads.base import units
from cgsim.workloads.catalogue import read_shared, shared

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

NAMES = list_workloads()


def test_names_asked_for_are_there() -> None:
    wanted = {"network", "k8s-node", "dns", "video-cache", "laptop"}
    wanted |= {"gpu", "composited-ui", "cloud-gaming", "transcode", "gpu-server"}
    assert wanted <= set(NAMES)
    assert NAMES[:2] == ("network", "gpu")


@pytest.mark.parametrize("name", NAMES)
def test_every_value_has_unit_and_source(name: str) -> None:
    workload = load_workload(name)
    rows = explain(workload)
    assert [row.field for row in rows] == list(units(type(workload)))
    for row in rows:
        assert row.value == getattr(workload, row.field)
        assert row.unit
        assert len(row.source) > 12


def test_every_leaf_is_sourced_or_assumed_and_every_source_cited() -> None:
    cited, leaves = set(), []
    for path in data_path("workloads").glob("*.yml"):
        document = yaml.safe_load(path.read_text())
        leaves += document.get("values", {}).values()
        leaves += [*document.get("mixes", {}).values(), *document.get("clients", {}).values()]
    assert len(leaves) > 80
    for leaf in leaves:
        assert ("source" in leaf) != ("assumption" in leaf)
        cited.add(leaf.get("source", "").partition(";")[0])
    assert cited >= set(shared().sources)


def test_assumptions_are_told_from_sources() -> None:
    sources = {row.field: row.source for row in explain(load_workload("network", n_sockets=7))}
    assert sources["zipf_s"].startswith("assumption: ")
    assert "14006f1d8fa2" in sources["socket_lines"]
    assert sources["n_sockets"] == "given by the caller"


def test_what_was_not_found_is_said_in_the_file() -> None:
    head = data_path("workloads", "shared.yml").read_text().partition("schema:")[0]
    for word in ("not found", "Zipf exponent", "GRO", "execbuf", "DNS", "FlexSC"):
        assert word in head


def test_values_copied_from_published_tables() -> None:
    assert load_workload("network").socket_lines == 18 + 12  # type: ignore[union-attr]
    assert shared().mixes["imix"].weights == (7, 4, 1)
    assert shared().clients["compositor"].steps[-1] == (200, 800, 1)
    assert len(shared().clients["cloud-game"].steps) == 6
    steps = shared().clients["transcode"].steps
    assert len(steps) == 25
    assert sum((step[0] + step[1]) / 2 for step in steps) == 41_300


def put(*path: str, value: object) -> Callable[[dict], None]:
    def change(document: dict) -> None:
        for key in path[:-1]:
            document = document[key]
        if value is None:
            del document[path[-1]]
        else:
            document[path[-1]] = value

    return change


def broken(tmp_path: Path, name: str, change: Callable[[dict], None]) -> Path:
    document = yaml.safe_load(data_path("workloads", name).read_text())
    change(document)
    path = tmp_path / name
    path.write_text(yaml.safe_dump(document))
    return path


@pytest.mark.parametrize(
    ("change", "words"),
    [
        (put("schema", value=1), ["schema = 1", "allowed: 2"]),
        (put("titel", value="x"), ["titel", "did you mean 'title'"]),
        (put("title", value=None), ["title is missing"]),
        (put("values", "zipf_s", "assumption", value=None), ["zipf_s", "a source or"]),
        (put("values", "zipf_s", "source", value="rss"), ["zipf_s", "either a source"]),
        (put("values", "n_keys", "source", value="x; y"), ["n_keys.source", "'x; y'"]),
        (put("values", "n_keys", "unit", value=None), ["n_keys.unit is missing"]),
        (put("values", "n_keys", "value", value=0), ["n_keys = 0", "1..65536 keys"]),
        (put("values", "n_keys", "unit", value="us"), ["n_keys.unit = 'us'", "keys"]),
        (put("values", "n_kyes", value={}), ["n_kyes"]),
        (put("model", value="netwrk"), ["'netwrk'", "did you mean 'network'"]),
        (put("values", "packet_mix", "value", value="imx"), ["'imx'", "'imix'"]),
    ],
)
def test_a_broken_file_is_refused_in_one_line(
    tmp_path: Path, change: Callable[[dict], None], words: list[str]
) -> None:
    path = broken(tmp_path, "network.yml", change)
    with pytest.raises(UserError) as caught:
        load_workload(path)
    message = str(caught.value)
    assert "\n" not in message
    for word in words:
        assert word in message


@pytest.mark.parametrize(
    ("change", "words"),
    [
        (put("mixes", "imix", "packets", value=[[10, 1]]), ["mixes.imix.packets", "64 to 65536"]),
        (put("clients", "game", "steps", value=[]), ["clients.game.steps", "1..1000"]),
        (put("clients", "game", "steps", value=[[5, 1, 0]]), ["steps", "from <= to"]),
        (put("clients", "game", "steps", value=[["a", 5, 0]]), ["steps"]),
        (put("clients", "game", "flips", value=1.5), ["flips = 1.5"]),
        (put("clients", "game", "frame_us", value=None), ["frame_us is missing"]),
    ],
)
def test_a_broken_shared_file_is_refused_in_one_line(
    tmp_path: Path, change: Callable[[dict], None], words: list[str]
) -> None:
    with pytest.raises(UserError) as caught:
        read_shared(broken(tmp_path, "shared.yml", change))
    assert "\n" not in str(caught.value)
    for word in words:
        assert word in str(caught.value)


@pytest.mark.parametrize("text", ["a: [", "- 1", "\xff", "schema: 2\nschema: 2\n"])
def test_what_is_no_yaml_mapping_is_refused(tmp_path: Path, text: str) -> None:
    path = tmp_path / "w.yml"
    path.write_bytes(text.encode("latin-1"))
    with pytest.raises(UserError, match=r"w\.yml") as caught:
        load_workload(path)
    assert "\n" not in str(caught.value)


def test_a_file_that_is_not_there(tmp_path: Path) -> None:
    with pytest.raises(UserError, match=r"none\.yml"):
        load_workload(tmp_path / "none.yml")


def test_a_file_of_ones_own_with_its_own_sources(tmp_path: Path) -> None:
    path = tmp_path / "mine.yml"
    path.write_text(
        "schema: 2\nmodel: network\ntitle: my host\nsources: {me: measured last week}\n"
        "values:\n  n_cgroups: {value: 77, unit: cgroups, source: me; counted}\n"
    )
    workload = load_workload(str(path))
    assert (workload.name, workload.n_cgroups) == ("mine", 77)
    rows = {row.field: row.source for row in explain(workload, path)}
    assert rows["n_cgroups"] == "measured last week (counted)"
    assert rows["zipf_s"].startswith("assumption")


def test_a_copy_of_a_file_under_the_models_name(tmp_path: Path) -> None:
    shutil.copy(data_path("workloads", "k8s-node.yml"), tmp_path / "network.yml")
    assert load_workload(tmp_path / "network.yml").n_cgroups == 450


@pytest.mark.parametrize(
    ("name", "overrides", "words"),
    [
        ("k8snode", {}, ["'k8snode'", "did you mean 'k8s-node'"]),
        ("network", {"n_key": 3}, ["'n_key'", "did you mean 'n_keys'"]),
        ("network", {"clients": 3}, ["'clients'", "field of workload network"]),
        ("network", {"title": "x"}, ["'title'"]),
        ("network", {"n_keys": 0}, ["n_keys = 0", "1..65536 keys"]),
        ("network", {"n_keys": 2.5}, ["n_keys = 2.5", "whole"]),
        ("network", {"n_keys": "3"}, ["n_keys = '3'"]),
        ("network", {"n_keys": True}, ["n_keys = True"]),
        ("network", {"n_keys": None}, ["n_keys = None"]),
        ("network", {"zipf_s": float("nan")}, ["zipf_s = nan", "0..3"]),
        ("network", {"zipf_s": -0.1}, ["zipf_s = -0.1"]),
        ("network", {"packet_mix": "imx"}, ["'imx'", "did you mean 'imix'"]),
        ("network", {"packet_mix": ["imix"]}, ["packet_mix", "imix"]),
        ("network", {"active_cgroups": 76}, ["active_cgroups = 76", "75"]),
        ("network", {"inherited_programs": 3}, ["inherited_programs = 3", "n_keys = 2"]),
        ("network", {"cpus": 9}, ["cpus = 9", "rx_queues = 8"]),
        ("network", {"arrivals": "fast"}, ["arrivals = 'fast'", "poisson, on-off, line-rate"]),
        ("network", {"program_uses": "count"}, ["program_uses", "a list"]),
        ("network", {"program_uses": ["cuont"]}, ["'cuont'", "did you mean 'count'"]),
        ("network", {"flows_per_socket": 1_000_000}, ["flows_per_socket", "at most"]),
        ("gpu", {"clients": []}, ["clients = []", "[kind, processes]"]),
        ("gpu", {"clients": [["gmae", 1]]}, ["'gmae'", "did you mean 'game'"]),
        ("gpu", {"clients": [["game", 0]]}, ["clients", "1..100000"]),
        ("gpu", {"clients": [["game", 1.5]]}, ["clients"]),
        ("gpu", {"cpus": 4}, ["cpus = 4", "at most 3"]),
    ],
)
def test_bad_parameters_are_refused_in_one_line(
    name: str, overrides: dict, words: list[str]
) -> None:
    with pytest.raises(UserError) as caught:
        load_workload(name, **overrides)
    message = str(caught.value)
    assert "\n" not in message
    for word in words:
        assert word in message


@pytest.mark.parametrize(
    ("n_lookups", "seed"), [(0, 1), (-1, 1), (1.5, 1), (True, 1), (1, -1), (1, "a"), (1, 1 << 63)]
)
def test_bad_requests_are_refused(n_lookups: Any, seed: Any) -> None:
    with pytest.raises(UserError, match="whole number"):
        make_stream(load_workload("gpu"), n_lookups, seed)


def test_numbers_of_other_types_become_plain_ones() -> None:
    workload = load_workload("network", n_keys=np.int32(4), zipf_s=1)
    assert [type(workload.n_keys), type(workload.zipf_s)] == [int, float]  # type: ignore[union-attr]


@pytest.mark.parametrize("name", NAMES)
def test_a_workload_is_a_frozen_value(name: str) -> None:
    workload = load_workload(name)
    assert pickle.loads(pickle.dumps(workload)) == workload
    assert hash(workload) == hash(load_workload(name))
    with pytest.raises(dataclasses.FrozenInstanceError):
        workload.n_keys = 3  # type: ignore[misc]


def test_replace_checks_too() -> None:
    with pytest.raises(UserError, match="zipf_s = 9"):
        dataclasses.replace(load_workload("network"), zipf_s=9)  # type: ignore[call-arg]


def test_presets_are_in_proportion() -> None:
    laptop, server = load_workload("gpu"), load_workload("gpu-server")
    assert isinstance(laptop, GpuWorkload)
    assert isinstance(server, GpuWorkload)
    assert laptop.n_keys <= 2
    assert (server.n_keys, server.n_clients) == (8, 64)
