"""Workloads: the file is complete, parameters are checked, streams follow the laws they state."""

from __future__ import annotations

import dataclasses
import pickle
from typing import TYPE_CHECKING, Any

import numpy as np
import pytest
import yaml
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy import stats

from cgsim.data import data_path
from cgsim.errors import UserError
from cgsim.workloads import (
    GpuWorkload,
    NetworkWorkload,
    Stream,
    _make,
    describe,
    list_workloads,
    load_workload,
    make_stream,
)
from cgsim.workloads.base import COLUMNS, units
from cgsim.workloads.catalogue import catalogue, read_catalogue
from cgsim.workloads.network import flow_actors
from cgsim.workloads.popularity import alias_table, batch_pmf, draw, zipf_pmf

if TYPE_CHECKING:
    from pathlib import Path

NAMES = list_workloads()
SEED = 20180313
# Chance that a right generator fails a test of a law with one seed; the seed is fixed.
TOO_UNLIKELY = 1e-4

# Every packet is a lookup of its own, has payload, and starts a train.
PLAIN: dict[str, Any] = {
    "packet_mix": "dns",
    "header_bytes": 46,
    "gro_max_bytes": 0,
    "train_packets": 1,
    "programs_per_hook": 1,
}


def network(name: str = "network", **overrides: Any) -> NetworkWorkload:
    workload = load_workload(name, **overrides)
    assert isinstance(workload, NetworkWorkload)
    return workload


def gpu(name: str = "gpu", **overrides: Any) -> GpuWorkload:
    workload = load_workload(name, **overrides)
    assert isinstance(workload, GpuWorkload)
    return workload


def columns(stream: Stream) -> np.ndarray:
    return np.stack([getattr(stream, name) for name in COLUMNS])


def starts(workload: NetworkWorkload, stream: Stream) -> np.ndarray:
    """Where the first lookups of batches are, if every packet has payload."""
    return np.flatnonzero(stream.hot_lines >= workload.stack_lines + workload.application_lines)


def time_ns(stream: Stream) -> float:
    return float((stream.instructions / stream.instructions_per_ns + stream.idle_ns).sum())


# --- the file ---


def test_names_asked_for_are_there() -> None:
    wanted = {"network", "k8s-node", "dns", "video-cache", "laptop"}
    wanted |= {"gpu", "composited-ui", "cloud-gaming", "transcode"}
    assert wanted <= set(NAMES)


@pytest.mark.parametrize("name", NAMES)
def test_every_value_has_unit_and_origin(name: str) -> None:
    workload = load_workload(name)
    rows = describe(workload)
    assert [row.field for row in rows] == list(units(type(workload)))
    for row in rows:
        assert row.value == getattr(workload, row.field)
        assert row.unit
        assert len(row.origin) > 12


def test_every_leaf_of_the_file_is_sourced_or_assumed() -> None:
    document = yaml.safe_load(data_path("workloads.yml").read_text())
    leaves = [leaf for w in document["workloads"].values() for leaf in w["values"].values()]
    leaves += document["mixes"].values()
    assert len(leaves) > 80
    for leaf in leaves:
        assert ("source" in leaf) != ("assumption" in leaf)


def test_assumptions_are_told_from_sources() -> None:
    origins = {row.field: row.origin for row in describe(network(n_sockets=7))}
    assert origins["zipf_s"].startswith("assumption: ")
    assert "14006f1d8fa2" in origins["socket_lines"]
    assert origins["n_sockets"] == "given by the caller"


def test_what_was_not_found_is_said_in_the_file() -> None:
    head = data_path("workloads.yml").read_text().partition("schema:")[0]
    for word in ("not found", "Zipf exponent", "GRO", "execbuf", "DNS", "FlexSC"):
        assert word in head


def test_values_copied_from_published_tables() -> None:
    assert network().socket_lines == 18 + 12
    assert catalogue().mixes["imix"].weights == (7, 4, 1)
    assert gpu("composited-ui").steps[-1] == (200, 800, 1)
    assert len(gpu("cloud-gaming").steps) == 6
    assert len(gpu("transcode").steps) == 25
    total = sum((step[0] + step[1]) / 2 for step in gpu("transcode").steps)
    assert total == 41_300


def broken(tmp_path: Path, change: Any) -> Path:
    document = yaml.safe_load(data_path("workloads.yml").read_text())
    change(document)
    path = tmp_path / "workloads.yml"
    path.write_text(yaml.safe_dump(document))
    return path


def put(*path: str, value: object) -> Any:
    def change(document: dict) -> None:
        for key in path[:-1]:
            document = document[key]
        if value is None:
            del document[path[-1]]
        else:
            document[path[-1]] = value

    return change


NETWORK = ("workloads", "network")


@pytest.mark.parametrize(
    ("change", "words"),
    [
        (put("schema", value=2), ["schema = 2", "allowed: 1"]),
        (put("sources", "extra", value="a book"), ["extra", "sources that a value cites"]),
        (put("surces", value={}), ["surces", "did you mean 'sources'"]),
        (put(*NETWORK, "title", value=None), ["workloads.network.title is missing"]),
        (put(*NETWORK, "values", "zipf_s", "assumption", value=None), ["zipf_s", "a source or"]),
        (put(*NETWORK, "values", "zipf_s", "source", value="rss"), ["zipf_s", "either a source"]),
        (put(*NETWORK, "values", "n_keys", "source", value="x; y"), ["n_keys.source", "'x; y'"]),
        (put(*NETWORK, "values", "n_keys", "unit", value=None), ["n_keys.unit is missing"]),
        (put(*NETWORK, "values", "n_keys", "value", value=0), ["n_keys = 0", "1..65536 keys"]),
        (put(*NETWORK, "values", "n_keys", "unit", value="us"), ["n_keys.unit = 'us'", "keys"]),
        (put(*NETWORK, "values", "n_keys", value=None), ["network.n_keys is missing"]),
        (put(*NETWORK, "model", value="netwrk"), ["'netwrk'", "did you mean 'network'"]),
        (put("mixes", "imix", "packets", value=[[10, 1]]), ["mixes.imix.packets", "64 to 65536"]),
        (put(*NETWORK, "values", "packet_mix", "value", value="imx"), ["'imx'", "'imix'"]),
    ],
)
def test_a_broken_file_is_refused_in_one_line(
    tmp_path: Path, change: Any, words: list[str]
) -> None:
    path = broken(tmp_path, change)
    with pytest.raises(UserError) as caught:
        _make(read_catalogue(path), "network", {})
    message = str(caught.value)
    assert "\n" not in message
    for word in words:
        assert word in message


@pytest.mark.parametrize("text", ["a: [", "- 1", "\xff"])
def test_what_is_no_yaml_mapping_is_refused(tmp_path: Path, text: str) -> None:
    path = tmp_path / "w.yml"
    path.write_bytes(text.encode("latin-1"))
    with pytest.raises(UserError, match=r"w\.yml") as caught:
        read_catalogue(path)
    assert "\n" not in str(caught.value)


def test_a_key_given_twice_is_refused(tmp_path: Path) -> None:
    path = tmp_path / "w.yml"
    path.write_text("schema: 1\nschema: 1\n")
    with pytest.raises(UserError, match=r"w\.yml:2:1: .*'schema' is given twice"):
        read_catalogue(path)


def test_a_file_that_is_not_there(tmp_path: Path) -> None:
    with pytest.raises(UserError, match="cannot read the file of workloads"):
        read_catalogue(tmp_path / "none.yml")


# --- parameters ---


@pytest.mark.parametrize(
    ("name", "overrides", "words"),
    [
        ("k8snode", {}, ["'k8snode'", "did you mean 'k8s-node'"]),
        ("network", {"n_key": 3}, ["'n_key'", "did you mean 'n_keys'"]),
        ("network", {"n_clients": 3}, ["'n_clients'", "field of workload network"]),
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
        ("network", {"active_cgroups": 101}, ["active_cgroups = 101", "n_cgroups = 100"]),
        ("network", {"programs_per_hook": 3}, ["programs_per_hook = 3", "n_keys = 2"]),
        ("network", {"flows_per_socket": 1_000_000}, ["flows_per_socket", "at most"]),
        ("gpu", {"steps": []}, ["steps = []", "a list of 1..1000"]),
        ("gpu", {"steps": [[5, 1, 0]]}, ["steps", "from <= to"]),
        ("gpu", {"steps": [[1, 5]]}, ["steps", "[from, to, wait]"]),
        ("gpu", {"steps": [["a", 5, 0]]}, ["steps"]),
        ("gpu", {"steps": [[0, 0, 1]], "prepare_us": 0, "frame_us": 0}, ["prepare_us", "above 0"]),
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
        make_stream(gpu(), n_lookups, seed)


def test_numbers_of_other_types_become_plain_ones() -> None:
    workload = network(n_keys=np.int32(4), zipf_s=1, n_sockets=5.0)
    assert [type(v) for v in (workload.n_keys, workload.zipf_s, workload.n_sockets)] == [
        int,
        float,
        int,
    ]


@pytest.mark.parametrize("name", NAMES)
def test_a_workload_is_a_frozen_value(name: str) -> None:
    workload = load_workload(name)
    assert pickle.loads(pickle.dumps(workload)) == workload
    assert hash(workload) == hash(load_workload(name))
    with pytest.raises(dataclasses.FrozenInstanceError):
        workload.n_keys = 3  # type: ignore[misc]


def test_replace_checks_too() -> None:
    with pytest.raises(UserError, match="zipf_s = 9"):
        dataclasses.replace(network(), zipf_s=9)


# --- laws of popularity ---


@pytest.mark.engine
@pytest.mark.parametrize(("n", "exponent"), [(1, 1.0), (2, 0.0), (37, 1.0), (1000, 1.2), (64, 3)])
def test_the_alias_table_is_the_distribution(n: int, exponent: float) -> None:
    pmf = zipf_pmf(n, exponent)
    table = alias_table(pmf * 17)
    total = table.keep.copy()
    np.add.at(total, table.other, 1 - table.keep)
    np.testing.assert_allclose(total / n, pmf, rtol=1e-9)


def test_zipf_weights() -> None:
    np.testing.assert_allclose(zipf_pmf(3, 1), np.array([6, 3, 2]) / 11)
    np.testing.assert_allclose(zipf_pmf(4, 0), 0.25)


@pytest.mark.engine
@pytest.mark.parametrize("exponent", [0.0, 0.8, 1.2])
def test_draws_follow_zipf(exponent: float) -> None:
    table = alias_table(zipf_pmf(200, exponent))
    draws = [draw(table, SEED, 3, i) for i in range(40_000)]
    counts = np.bincount(draws, minlength=200)
    p = stats.chisquare(counts, 40_000 * zipf_pmf(200, exponent)).pvalue
    assert p > TOO_UNLIKELY


@pytest.mark.parametrize("mean", [0.0, 0.5, 8.0, 60.0, 5000.0])
def test_the_batch_distribution_is_a_cut_poisson(mean: float) -> None:
    pmf = batch_pmf(mean, 64)
    poisson = stats.poisson(mean)
    np.testing.assert_allclose(pmf[:-1], poisson.pmf(np.arange(63)), rtol=1e-9, atol=1e-15)
    np.testing.assert_allclose(pmf[-1], poisson.sf(62), rtol=1e-6, atol=1e-12)


# --- streams ---


@pytest.mark.engine
@pytest.mark.parametrize("name", NAMES)
def test_a_stream_is_well_formed(name: str) -> None:
    workload = load_workload(name)
    stream = make_stream(workload, 3000, SEED)
    check_bounds(stream)
    assert len(stream) == 3000
    assert stream.parameters["n_keys"] == workload.n_keys
    assert stream.sources
    assert stream.title
    is_network = isinstance(workload, NetworkWorkload)
    assert (stream.reach, stream.rcu_held) == (("skb", True) if is_network else ("current", False))


def check_bounds(stream: Stream) -> None:
    for name in COLUMNS:
        array = getattr(stream, name)
        assert array.dtype == np.int64
        assert array.min() >= 0
    assert stream.cgroup.max() < stream.n_cgroups
    assert stream.key.max() < stream.n_keys
    assert stream.actor.max() < stream.n_actors
    assert stream.actor_cgroup.shape == (stream.n_actors,)
    np.testing.assert_array_equal(stream.cgroup, stream.actor_cgroup[stream.actor])
    assert 64 * stream.hot_lines.max() <= stream.hot_bytes
    assert stream.ring_bytes % 64 == 0
    assert stream.ring_bytes >= 64
    assert stream.rate_per_s > 0


@pytest.mark.engine
@pytest.mark.parametrize("name", NAMES)
def test_same_seed_same_stream_and_prefix(name: str) -> None:
    workload = load_workload(name)
    long = make_stream(workload, 20_000, SEED)
    short = make_stream(workload, 777, SEED)
    np.testing.assert_array_equal(columns(long)[:, :777], columns(short))
    assert long.rate_per_s == short.rate_per_s
    np.testing.assert_array_equal(columns(long), columns(make_stream(workload, 20_000, SEED)))
    assert (columns(long) != columns(make_stream(workload, 20_000, SEED + 1))).any()


@pytest.mark.engine
@pytest.mark.parametrize("exponent", [0.0, 1.0, 1.4])
def test_sockets_are_as_popular_as_their_flows(exponent: float) -> None:
    workload = network(zipf_s=exponent, n_sockets=800, flows_per_socket=3, **PLAIN)
    stream = make_stream(workload, 100_000, SEED)
    pmf = np.bincount(
        flow_actors(workload, SEED), weights=zipf_pmf(workload.n_flows, exponent), minlength=100
    )
    p = stats.chisquare(np.bincount(stream.actor, minlength=100), 100_000 * pmf).pvalue
    assert p > TOO_UNLIKELY


@pytest.mark.engine
def test_keys_are_those_of_a_hook() -> None:
    stream = make_stream(network("k8s-node", n_keys=12, programs_per_hook=3), 30_000, SEED)
    hooks = stream.key.reshape(-1, 3)
    assert (hooks % 3 == [0, 1, 2]).all()
    assert (hooks // 3 == hooks[:, :1] // 3).all()
    assert (stream.actor.reshape(-1, 3) == stream.actor[::3, None]).all()
    assert (stream.cold_lines.reshape(-1, 3)[:, 1:] == 0).all()
    counts = np.bincount(hooks[:, 0] // 3, minlength=4)
    assert stats.chisquare(counts).pvalue > TOO_UNLIKELY


@pytest.mark.engine
@pytest.mark.parametrize("window", [0.0, 4.0, 30.0, 1000.0])
def test_batches_are_as_stated(window: float) -> None:
    workload = network(packets_per_s_per_queue=4e5, interrupt_window_us=window, **PLAIN)
    stream = make_stream(workload, 60_000, SEED)
    sizes = np.diff(starts(workload, stream))
    expected = workload.expected_batch_packets
    more = min(0.4 * window, 63)
    if window <= 30:
        assert expected == pytest.approx(1 + more, rel=1e-6)
    error = 4 * sizes.std() / np.sqrt(sizes.size)
    assert sizes.mean() == pytest.approx(expected, abs=error + 1e-12)
    assert sizes.max() <= 64
    pmf = batch_pmf(0.4 * window, 64)
    likely = pmf * sizes.size > 5
    counts = np.bincount(sizes, minlength=65)[1:]
    if likely.sum() > 1:
        seen = np.append(counts[likely], counts[~likely].sum())
        wanted = np.append(pmf[likely], pmf[~likely].sum()) * sizes.size
        keep = wanted > 0
        wanted *= seen[keep].sum() / wanted[keep].sum()
        assert stats.chisquare(seen[keep], wanted[keep]).pvalue > TOO_UNLIKELY


@pytest.mark.engine
@pytest.mark.parametrize("rate", [1e3, 1e5, 2.2e5])
def test_the_rate_is_kept_while_the_cpu_can(rate: float) -> None:
    workload = network(packets_per_s_per_queue=rate, **PLAIN)
    stream = make_stream(workload, 100_000, SEED)
    assert len(stream) * 1e9 / time_ns(stream) == pytest.approx(rate, rel=0.02)
    assert stream.rate_per_s == pytest.approx(rate, rel=0.05)


@pytest.mark.engine
def test_an_overloaded_cpu_never_idles() -> None:
    workload = network(packets_per_s_per_queue=1e7, **PLAIN)
    stream = make_stream(workload, 1000, SEED)
    assert stream.idle_ns[100:].sum() == 0
    assert stream.rate_per_s < 1e6


@pytest.mark.compiled
@pytest.mark.engine
def test_the_mix_is_kept_whatever_the_trains() -> None:
    """Mean payload per packet, read from the lines that the copy to the user touches."""
    parts: dict[str, Any] = {
        "socket_lines": 0,
        "packet_lines": 1,
        "application_cold_lines": 0,
        "programs_per_hook": 1,
    }
    means = []
    for train in (1, 6):
        for share in (0.0, 1.0):
            stream = make_stream(
                network(train_packets=train, payload_touched_share=share, **parts),
                100_000,
                SEED,
            )
            means.append(stream.cold_lines.sum())
            if share == 0:
                packets = stream.cold_lines.sum()
        lines = (means[-1] - means[-2]) / packets
        # 594 and 1518 bytes on the wire are 9 and 23 lines of payload.
        assert lines == pytest.approx((4 * 9 + 23) / 12, rel=0.05)


@pytest.mark.engine
def test_gro_merges_what_it_may() -> None:
    bulk: dict[str, Any] = {
        "packet_mix": "bulk",
        "train_packets": 1000,
        "interrupt_window_us": 1000,
        "packets_per_s_per_queue": 1e6,
        "socket_lines": 0,
        "packet_lines": 1,
        "payload_touched_share": 0,
        "application_cold_lines": 0,
        "programs_per_hook": 1,
    }
    merged = make_stream(network(**bulk), 20_000, SEED)
    # 45 segments of 1448 bytes fill 65536 bytes; they go up when the next one does not fit.
    assert merged.cold_lines.max() == 46
    assert np.mean(merged.cold_lines[merged.cold_lines > 1] == 46) > 0.4
    off = make_stream(network(**bulk, gro_max_bytes=0), 20_000, SEED)
    assert off.cold_lines.max() == 1
    small = make_stream(network(**bulk, gro_max_bytes=2 * 1448), 20_000, SEED)
    assert small.instructions.sum() < merged.instructions.sum()
    packets_per_lookup = small.cold_lines.sum() / len(small)
    assert 1.8 < packets_per_lookup <= 2


@pytest.mark.engine
def test_gro_holds_so_many_flows() -> None:
    """Two flows in turn merge if two may be held, and do not if one may."""
    two: dict[str, Any] = {
        "n_sockets": 2,
        "rx_queues": 1,
        "active_cgroups": 2,
        "zipf_s": 0,
        "train_packets": 1,
        "packet_mix": "dns",
        "interrupt_window_us": 1000,
        "packets_per_s_per_queue": 1e6,
        "packet_lines": 1,
        "socket_lines": 0,
        "application_cold_lines": 0,
        "payload_touched_share": 0,
    }
    held = make_stream(network(**two, gro_open_flows=2), 10_000, SEED)
    assert held.cold_lines.sum() / len(held) == pytest.approx(32, rel=0.01)
    one = make_stream(network(**two, gro_open_flows=1), 10_000, SEED)
    assert one.cold_lines.sum() / len(one) == pytest.approx(2, rel=0.1)


@pytest.mark.engine
def test_lines_between_lookups_add_up() -> None:
    workload = network(**PLAIN)
    stream = make_stream(workload, 50_000, SEED)
    first = np.zeros(len(stream), bool)
    first[starts(workload, stream)] = True
    changed = np.append(True, stream.actor[1:] != stream.actor[:-1])
    later = ~first
    hot = workload.stack_lines + np.where(changed, 0, workload.socket_lines)
    cold = workload.packet_lines + np.where(changed, workload.socket_lines, 0)
    np.testing.assert_array_equal(stream.hot_lines[later], hot[later])
    np.testing.assert_array_equal(stream.cold_lines[later], cold[later])
    # The application touches 8 lines of its own and 2 of payload for each request before.
    where = np.flatnonzero(first)[1:]
    requests = np.diff(np.flatnonzero(first))
    np.testing.assert_array_equal(stream.hot_lines[where], hot[where] + workload.application_lines)
    np.testing.assert_array_equal(stream.cold_lines[where], cold[where] + 10 * requests)
    each = workload.driver_instructions + workload.stack_instructions
    each += workload.program_instructions
    assert (stream.instructions[later] == each).sum() >= later.sum() - 1
    np.testing.assert_array_equal(
        stream.instructions[where], each + requests * workload.application_instructions
    )


@pytest.mark.engine
@pytest.mark.parametrize(
    ("name", "rate"),
    [("composited-ui", 4 / 16_667e-6), ("cloud-gaming", 6 / 16_667e-6), ("gpu", 12 / 16_667e-6)],
)
def test_submissions_per_second(name: str, rate: float) -> None:
    stream = make_stream(load_workload(name), 12_000, SEED)
    assert stream.rate_per_s == pytest.approx(rate, rel=0.005)


@pytest.mark.engine
def test_a_client_that_never_sleeps_takes_the_mean_frame() -> None:
    workload = gpu("transcode", n_clients=1, frame_us=0)
    stream = make_stream(workload, 25_000, SEED)
    assert stream.rate_per_s == pytest.approx(25e6 / workload.mean_frame_us, rel=0.01)
    assert 41_300 < workload.mean_frame_us < 43_000


@pytest.mark.engine
def test_submissions_come_in_order_and_in_turn() -> None:
    stream = make_stream(gpu("gpu-server"), 6400, SEED)
    counts = np.bincount(stream.actor, minlength=64)
    assert counts.max() - counts.min() <= 2
    np.testing.assert_array_equal(stream.key, stream.actor % 8)
    assert np.unique(stream.actor_cgroup).size == 64


@pytest.mark.engine
def test_a_frame_is_a_burst_and_a_pause() -> None:
    workload = gpu("composited-ui")
    stream = make_stream(workload, 4000, SEED)
    gap_us = (stream.instructions / stream.instructions_per_ns + stream.idle_ns)[4:] / 1e3
    by_step = gap_us.reshape(-1, 4)
    assert by_step[:, 1:].max() <= 300
    assert by_step[:, 1:].min() >= 100
    assert by_step[:, 0].min() > 15_000
    assert by_step.sum(axis=1).mean() == pytest.approx(workload.frame_us, rel=0.001)
    share = (1e3 * gap_us * 0.1 + 0.9 * 100_000)[::4]
    busy_ns = (stream.instructions / stream.instructions_per_ns)[4::4]
    assert (busy_ns >= share - 1e-3 * share).all()
    np.testing.assert_allclose(
        stream.cold_lines - workload.driver_cold_lines,
        stream.instructions / stream.instructions_per_ns / 1e3 * workload.user_lines_per_us,
        atol=1.01,
    )


network_values = st.fixed_dictionaries(
    {
        "n_cgroups": st.integers(50, 2000),
        "active_cgroups": st.integers(1, 50),
        "n_sockets": st.integers(1, 5000),
        "rx_queues": st.integers(1, 64),
        "flows_per_socket": st.integers(1, 20),
        "zipf_s": st.floats(0, 3),
        "n_keys": st.integers(4, 64),
        "programs_per_hook": st.integers(1, 4),
        "packets_per_s_per_queue": st.floats(1, 1e8),
        "interrupt_window_us": st.floats(0, 1000),
        "batch_max_packets": st.integers(1, 64),
        "packet_mix": st.sampled_from(sorted(catalogue().mixes)),
        "header_bytes": st.integers(0, 256),
        "train_packets": st.floats(1, 1000),
        "gro_max_bytes": st.integers(0, 1 << 17),
        "gro_open_flows": st.integers(1, 64),
        "payload_touched_share": st.floats(0, 1),
        "application_instructions": st.integers(0, 100_000),
        "instructions_per_ns": st.floats(0.01, 100),
    }
)


@pytest.mark.compiled
@pytest.mark.engine
@settings(max_examples=40, deadline=None, derandomize=True)
@given(values=network_values, n=st.integers(1, 500), seed=st.integers(0, (1 << 63) - 1))
def test_network_streams_hold_over_the_ranges(values: dict, n: int, seed: int) -> None:
    workload = network(**values)
    stream = make_stream(workload, n, seed)
    assert len(stream) == n
    check_bounds(stream)
    assert np.unique(stream.actor_cgroup).size <= workload.active_cgroups
    whole = stream.key[: n // workload.programs_per_hook * workload.programs_per_hook]
    steps = np.diff(whole.reshape(-1, workload.programs_per_hook), axis=1) % workload.n_keys
    assert (steps == 1).all()


gpu_values = st.fixed_dictionaries(
    {
        "n_cgroups": st.integers(1, 500),
        "n_clients": st.integers(1, 300),
        "n_keys": st.integers(1, 32),
        "steps": st.lists(
            st.tuples(st.integers(0, 500), st.integers(500, 5000), st.integers(0, 1)),
            min_size=1,
            max_size=8,
        ),
        "frame_us": st.floats(0, 1e7),
        "prepare_us": st.floats(1, 1e6),
        "background_share": st.floats(0, 1),
        "user_lines_per_us": st.floats(0, 1000),
        "user_ring_bytes": st.integers(64, 1 << 30),
    }
)


@pytest.mark.compiled
@pytest.mark.engine
@settings(max_examples=40, deadline=None, derandomize=True)
@given(values=gpu_values, n=st.integers(1, 500), seed=st.integers(0, (1 << 63) - 1))
def test_gpu_streams_hold_over_the_ranges(values: dict, n: int, seed: int) -> None:
    stream = make_stream(gpu(**values), n, seed)
    assert len(stream) == n
    check_bounds(stream)
    assert 64 * stream.cold_lines.max() <= stream.ring_bytes
