"""Streams follow the laws they state, and are the same however they are made."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
from examples import examples
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy import stats

from cgsim.workloads import Feeds, Stream, list_workloads, load_workload, make_stream
from cgsim.workloads.acts import (
    CHARGE,
    CREATE,
    DESTROY,
    FROM_CURRENT,
    FROM_SKB,
    OPERATION_SHIFT,
    POLICY,
    REACH_BITS,
    REACH_MASK,
    REACHES_AN_EVENT,
    REMOVE,
    STAY,
    UP,
    USE_MASK,
)
from cgsim.workloads.base import leaves_of, parents_of
from cgsim.workloads.catalogue import shared
from cgsim.workloads.network import NetworkWorkload
from cgsim.workloads.popularity import zipf_pmf

# Statistics take more rows than are made without the compiler.
pytestmark = pytest.mark.compiled

NAMES = list_workloads()
SEED = 20180313
TOO_UNLIKELY = 1e-4

# Every packet is a lookup of its own, has payload, and starts a train.
PLAIN: dict[str, Any] = {
    "packet_mix": "dns",
    "header_bytes": 46,
    "gro_max_bytes": 0,
    "train_packets": 1,
    "n_keys": 1,
}
# What a CPU does takes no time: polls begin as the first packet of each says.
AT_ONCE: dict[str, Any] = {
    "driver_instructions": 0,
    "stack_instructions": 0,
    "program_instructions": 0,
    "application_instructions": 0,
}


def network(name: str = "network", **overrides: Any) -> NetworkWorkload:
    workload = load_workload(name, **overrides)
    assert isinstance(workload, NetworkWorkload)
    return workload


def reach(stream: Stream) -> np.ndarray:
    return stream.column("act") & REACH_MASK


def gaps_ns(workload: Any, stream: Stream) -> np.ndarray:
    return stream.column("instructions") / workload.instructions_per_ns + stream.column("idle_ns")


def check_bounds(workload: Any, stream: Stream, seed: int) -> None:
    surrounding = workload.surrounding(seed)
    assert stream.rows.dtype == np.int64
    assert stream.rows.min() >= 0
    assert stream.column("cgroup").max() < workload.n_cgroups
    assert stream.column("key").max() < workload.n_keys
    actors = surrounding.actors
    assert stream.column("actor").max() < actors.size
    events = reach(stream) >= REACHES_AN_EVENT
    begins = stream.starts[:-1][np.diff(stream.starts) > 0]
    assert events[begins].all()
    own = actors[stream.column("actor")]
    lookups = stream.column("act") >> OPERATION_SHIFT == 0
    inside = (reach(stream) != UP) & lookups & (stream.column("cgroup") != 0)
    np.testing.assert_array_equal(stream.column("cgroup")[inside], own[inside])
    up = np.flatnonzero(reach(stream) == UP)
    climbed = surrounding.parents[stream.column("cgroup")[up - 1]]
    np.testing.assert_array_equal(stream.column("cgroup")[up], climbed)
    assert 64 * stream.column("hot_lines").max() <= surrounding.hot_bytes
    assert surrounding.ring_bytes % 64 == 0


@pytest.mark.parametrize("name", NAMES)
def test_a_stream_is_well_formed(name: str) -> None:
    workload = load_workload(name)
    stream = make_stream(workload, 3000, SEED)
    assert len(stream) == 3000
    check_bounds(workload, stream, SEED)


@pytest.mark.parametrize("cpus", [1, 3])
@pytest.mark.parametrize("name", NAMES)
def test_rows_are_the_same_in_any_pieces_and_on_any_threads(name: str, cpus: int) -> None:
    workload = load_workload(name)
    if cpus > getattr(workload, "rx_queues", getattr(workload, "n_clients", 1)):
        pytest.skip("has fewer queues or clients")
    if name == "recorded":
        cpus = workload.cpus
    else:
        workload = load_workload(name, cpus=cpus)
    whole = Feeds(workload, SEED).take(3000)
    feeds = Feeds(workload, SEED, threads=4)
    pieces = [feeds.take(cpus * n) for n in (3, 6, 21, 270, 1200, 1500)]
    for cpu in range(cpus):
        one = whole.rows[:, whole.starts[cpu] : whole.starts[cpu + 1]]
        parts = [p.rows[:, p.starts[cpu] : p.starts[cpu + 1]] for p in pieces]
        np.testing.assert_array_equal(one, np.concatenate(parts, axis=1)[:, : one.shape[1]])
    other = Feeds(workload, SEED + 1).take(3000)
    assert (whole.rows != other.rows).any() or name == "recorded"


# --- the network ---


def test_every_packet_runs_all_programs_in_order() -> None:
    stream = make_stream(network("k8s-node", n_keys=8, inherited_programs=3), 24_000, SEED)
    keys = stream.column("key").reshape(-1, 8)
    np.testing.assert_array_equal(keys, np.tile(np.arange(8), (3000, 1)))
    assert (reach(stream).reshape(-1, 8)[:, 0] == FROM_SKB).all()
    assert (reach(stream).reshape(-1, 8)[:, 1:] == STAY).all()
    cgroups = stream.column("cgroup").reshape(-1, 8)
    assert (cgroups[:, :3] == 0).all()  # attached to the root, whose datum they use
    assert (cgroups[:, 3:] == cgroups[:, 3:4]).all()
    assert (cgroups[:, 3] != 0).all()
    for name in ("hot_lines", "cold_lines", "idle_ns"):
        assert (stream.column(name).reshape(-1, 8)[:, 1:] == 0).all()


def test_charges_go_up_to_the_root() -> None:
    workload = network(charge_levels=9, n_keys=1, program_uses=["charge"])
    stream = make_stream(workload, 20_000, SEED)
    check_bounds(workload, stream, SEED)
    starts = np.flatnonzero(reach(stream) == FROM_SKB)
    depth = np.diff(starts)
    assert set(depth) <= {4, 5}  # 100 cgroups, four children each: leaves on two levels
    assert (stream.column("cgroup")[starts[1:] - 1] == 0).all()
    assert (stream.column("act") >> REACH_BITS & USE_MASK == CHARGE).all()


@pytest.mark.parametrize("exponent", [0.0, 1.0, 1.4])
def test_sockets_are_as_popular_as_their_flows(exponent: float) -> None:
    workload = network(zipf_s=exponent, n_sockets=800, flows_per_socket=3, **PLAIN)
    stream = make_stream(workload, 100_000, SEED)
    pmf = zipf_pmf(workload.n_flows, exponent).reshape(3, 100).sum(axis=0)
    counts = np.bincount(stream.column("actor"), minlength=100)
    assert stats.chisquare(counts, 100_000 * pmf).pvalue > TOO_UNLIKELY


def test_every_queue_has_its_own_sockets_and_all_share_cgroups() -> None:
    workload = network(cpus=8, n_sockets=800)
    stream = make_stream(workload, 80_000, SEED)
    seen = [
        {name: set(stream.column(name)[a:b].tolist()) for name in ("actor", "cgroup")}
        for a, b in zip(stream.starts[:-1], stream.starts[1:], strict=True)
    ]
    for cpu, sets in enumerate(seen):
        assert sets["actor"] <= set(range(100 * cpu, 100 * cpu + 100))
    assert set.intersection(*(sets["cgroup"] for sets in seen)) == seen[0]["cgroup"]
    assert len(seen[0]["cgroup"]) == 30


def poll_sizes(stream: Stream) -> np.ndarray:
    """Packets of each poll but the last, where every packet is a row and the CPU waits for each."""
    return np.diff(np.flatnonzero(stream.column("idle_ns") > 0))


@pytest.mark.parametrize("window", [0.0, 4.0, 30.0, 1000.0])
def test_batches_of_an_idle_cpu_are_a_cut_poisson(window: float) -> None:
    idle = {**PLAIN, **AT_ONCE}
    workload = network(packets_per_s_per_queue=4e5, interrupt_window_us=window, **idle)
    sizes = poll_sizes(make_stream(workload, 60_000, SEED))
    if window == 1000:
        # 400 wait, 64 are taken, the others at once: a poll of the rest follows
        assert sizes.min() > 64
        return
    poisson = stats.poisson(0.4 * window)
    pmf = np.append(poisson.pmf(np.arange(63)), poisson.sf(62))
    likely = pmf * sizes.size > 5
    counts = np.bincount(sizes, minlength=65)[1:]
    if likely.sum() > 1:
        seen = np.append(counts[likely], counts[~likely].sum())
        wanted = np.append(pmf[likely], pmf[~likely].sum()) * sizes.size
        keep = wanted > 0
        wanted *= seen[keep].sum() / wanted[keep].sum()
        assert stats.chisquare(seen[keep], wanted[keep]).pvalue > TOO_UNLIKELY
    else:
        assert (sizes == 1).mean() > 0.999  # but where two come within a nanosecond


def test_poisson_arrivals_are_exponentially_apart() -> None:
    workload = network(packets_per_s_per_queue=1e4, interrupt_window_us=0, **PLAIN, **AT_ONCE)
    gaps = make_stream(workload, 50_000, SEED).column("idle_ns") + 0.5
    assert stats.kstest(gaps / 1e5, "expon").pvalue > TOO_UNLIKELY


def test_bursts_keep_the_rate_and_are_faster_within() -> None:
    bursty = network(
        packets_per_s_per_queue=1e5, interrupt_window_us=0, arrivals="on-off", burst_us=200,
        burst_sigma=0.5,
        **PLAIN, **AT_ONCE,
    )  # fmt: skip
    gaps = make_stream(bursty, 400_000, SEED).column("idle_ns")
    assert 1e9 / gaps.mean() == pytest.approx(1e5, rel=0.1)
    # a tenth of the mean gap lies between the packets of a burst
    assert np.median(gaps) == pytest.approx(0.1 * 1e4 * np.log(2), rel=0.1)
    assert np.std(gaps) > 3 * np.mean(gaps)


def test_line_rate_is_back_to_back_on_the_wire() -> None:
    workload = network(
        arrivals="line-rate", line_gbit_s=10, interrupt_window_us=0, rx_queues=1,
        **{**PLAIN, "packet_mix": "dns"}, **AT_ONCE,
    )  # fmt: skip
    stream = make_stream(workload, 10_000, SEED)
    wire_ns = (134 + 20) * 8 / 10
    assert gaps_ns(workload, stream).sum() / len(stream) == pytest.approx(wire_ns, rel=0.01)


@pytest.mark.parametrize("rate", [1e3, 1e5, 2.2e5])
def test_the_rate_is_kept_while_the_cpu_can(rate: float) -> None:
    workload = network(packets_per_s_per_queue=rate, **PLAIN)
    stream = make_stream(workload, 100_000, SEED)
    assert 1e9 / gaps_ns(workload, stream).mean() == pytest.approx(rate, rel=0.02)


def test_a_busy_cpu_takes_larger_batches() -> None:
    means = []
    for rate in (1e4, 1e5, 2.4e5):
        workload = network(packets_per_s_per_queue=rate, **PLAIN)
        stream = make_stream(workload, 50_000, SEED)
        polls = (stream.column("hot_lines") >= workload.application_lines).sum()
        means.append(len(stream) / polls)
    assert means == sorted(means)
    assert means[-1] > 1.5 * means[0]


def test_an_overloaded_cpu_never_idles_and_loses_packets() -> None:
    workload = network(packets_per_s_per_queue=1e7, **PLAIN)
    feeds = Feeds(workload, SEED)
    stream = feeds.take(4000)
    assert stream.column("idle_ns")[100:].sum() == 0
    assert 1e9 / gaps_ns(workload, stream).mean() < 1e6
    assert feeds._feeds[0].times_ring_full > 0  # type: ignore[union-attr]


def test_the_mix_is_kept_whatever_the_trains() -> None:
    """Mean payload per packet, read from the lines that the copy to the user touches."""
    parts: dict[str, Any] = {
        "socket_lines": 0, "packet_lines": 1, "application_cold_lines": 0, "n_keys": 1,
    }  # fmt: skip
    for train in (1, 6):
        cold = [
            make_stream(
                network(train_packets=train, payload_touched_share=share, **parts), 100_000, SEED
            )
            .column("cold_lines")
            .sum()
            for share in (0.0, 1.0)
        ]
        # 594 and 1518 bytes on the wire are 9 and 23 lines of payload.
        assert (cold[1] - cold[0]) / cold[0] == pytest.approx((4 * 9 + 23) / 12, rel=0.05)


BULK: dict[str, Any] = {
    "packet_mix": "bulk",
    "train_packets": 1000,
    "interrupt_window_us": 1000,
    "packets_per_s_per_queue": 1e6,
    "socket_lines": 0,
    "packet_lines": 1,
    "payload_touched_share": 0,
    "application_cold_lines": 0,
    "n_keys": 1,
    **AT_ONCE,
}


def test_gro_merges_what_it_may() -> None:
    merged = make_stream(network(**BULK), 20_000, SEED).column("cold_lines")
    # 45 segments of 1448 bytes fill 65536 bytes; they go up when the next one does not fit.
    assert merged.max() <= 64
    assert np.mean(merged[merged > 1] == 46) > 0.3
    off = make_stream(network(**BULK, gro_max_bytes=0), 20_000, SEED).column("cold_lines")
    assert off.max() == 1
    small = make_stream(network(**BULK, gro_max_bytes=2 * 1448), 20_000, SEED).column("cold_lines")
    assert 1.8 < small.mean() <= 2


def test_gro_holds_so_many_flows() -> None:
    """Two flows in turn merge if two may be held, and do not if one may."""
    two: dict[str, Any] = {
        **BULK, "n_sockets": 2, "rx_queues": 1, "active_cgroups": 2, "zipf_s": 0,
        "train_packets": 1, "packet_mix": "dns",
    }  # fmt: skip
    held = make_stream(network(**two, gro_open_flows=2), 10_000, SEED).column("cold_lines")
    assert held.mean() == pytest.approx(32, rel=0.05)
    one = make_stream(network(**two, gro_open_flows=1), 10_000, SEED).column("cold_lines")
    assert one.mean() == pytest.approx(2, rel=0.1)


def test_lines_between_packets_add_up() -> None:
    workload = network(**PLAIN)
    stream = make_stream(workload, 50_000, SEED)
    hot, cold = stream.column("hot_lines"), stream.column("cold_lines")
    first = hot >= workload.application_lines
    first[0] = True
    actor = stream.column("actor")
    changed = np.append(True, actor[1:] != actor[:-1])
    later = ~first
    own = workload.stack_lines + np.where(changed, 0, workload.socket_lines)
    ring = workload.packet_lines + np.where(changed, workload.socket_lines, 0)
    # packets of a poll are taken before the first is delivered, where GRO holds none
    np.testing.assert_array_equal(hot[later], own[later])
    np.testing.assert_array_equal(cold[later], ring[later])
    where = np.flatnonzero(first)[1:]
    requests = np.diff(np.flatnonzero(first))
    np.testing.assert_array_equal(hot[where], own[where] + workload.application_lines)
    # The application touches 8 lines of its own and 2 of payload for each request before.
    np.testing.assert_array_equal(cold[where], ring[where] + 10 * requests)
    each = workload.driver_instructions + workload.stack_instructions
    np.testing.assert_array_equal(
        stream.column("instructions")[where], each + requests * workload.application_instructions
    )


def packets(workload: Any, names: tuple[str, ...], n: int = 4000) -> np.ndarray:
    """What identifies the packets of a stream: these columns of the rows that begin one."""
    stream = make_stream(workload, n, SEED)
    first = reach(stream) == FROM_SKB
    return np.stack([stream.column(name)[first] for name in names])


@pytest.mark.parametrize(
    "change",
    [
        {"n_keys": 7}, {"charge_levels": 3}, {"program_uses": ["rate-limit"]}, {"socket_lines": 3},
        {"n_cgroups": 400, "active_cgroups": 30},
    ],
)  # fmt: skip
def test_two_settings_see_the_same_packets(change: dict[str, Any]) -> None:
    rare = {"packets_per_s_per_queue": 1e3}  # or a packet that costs more lets batches grow
    one = packets(network(**rare), ("actor",))
    two = packets(network(**rare, **change), ("actor",))
    n = min(one.shape[1], two.shape[1])
    assert n > 100
    np.testing.assert_array_equal(one[:, :n], two[:, :n])


def test_more_flows_leave_the_popular_ones_what_they_send() -> None:
    """A flow's sizes belong to the flow, not to the order in which flows send."""
    sizes = []
    for sockets in (800, 1600):
        workload = network(n_sockets=sockets, **{**PLAIN, "packet_mix": "imix"}, socket_lines=0)
        stream = make_stream(workload, 60_000, SEED)
        payload = stream.column("cold_lines")
        del payload
        sizes.append(np.bincount(stream.column("actor"))[:10] / len(stream))
    assert (np.diff(sizes[0]) < 0.02).all()
    np.testing.assert_allclose(sizes[0] / sizes[1], sizes[0][0] / sizes[1][0], rtol=0.2)


# --- GPUs ---


def rate_per_s(workload: Any, stream: Stream) -> float:
    """ioctls of a second."""
    events = (reach(stream) == FROM_CURRENT).sum()
    return float(1e9 * events / gaps_ns(workload, stream).sum())


@pytest.mark.parametrize(
    ("name", "rate"),
    [("composited-ui", 5 / 16_667e-6), ("cloud-gaming", 6 / 16_667e-6), ("gpu-server", 640)],
)
def test_ioctls_per_second(name: str, rate: float) -> None:
    workload = load_workload(name)
    assert rate_per_s(workload, make_stream(workload, 12_000, SEED)) == pytest.approx(
        rate, rel=0.01
    )


def test_a_priority_is_read_at_submission_and_flip_and_memory_charged_up() -> None:
    workload = load_workload("composited-ui")
    stream = make_stream(workload, 60_000, SEED)
    uses = stream.column("act") >> REACH_BITS & USE_MASK
    events = reach(stream) == FROM_CURRENT
    assert (uses[events] == POLICY).all()
    assert (uses[~events] == CHARGE).all()
    charges = reach(stream) == STAY
    submissions = events.sum() * 4 / 5  # a flip after four of them
    share = shared().clients["compositor"].charges_per_submission
    assert charges.sum() == pytest.approx(share * submissions, rel=0.15)
    assert (reach(stream) == UP).sum() == pytest.approx(
        3.2 * charges.sum(), abs=float(charges.sum())
    )


def test_a_client_that_never_sleeps_takes_the_mean_frame() -> None:
    stream = make_stream(load_workload("transcode"), 25_000, SEED)
    actors = np.bincount(stream.column("actor")[reach(stream) == FROM_CURRENT], minlength=36)
    assert actors.max() - actors.min() <= 0.05 * actors.mean()


def test_submissions_come_in_order_and_in_turn() -> None:
    workload = load_workload("gpu-server")
    stream = make_stream(workload, 20_000, SEED)
    events = reach(stream) == FROM_CURRENT
    counts = np.bincount(stream.column("actor")[events], minlength=64)
    assert counts.max() - counts.min() <= 2
    np.testing.assert_array_equal(stream.column("key"), stream.column("actor") % 8)
    assert np.unique(stream.column("cgroup")[events]).size == 64


def test_an_unplug_removes_a_device_from_every_cgroup() -> None:
    workload = load_workload("gpu-server", unplugs_per_s=4)
    stream = make_stream(workload, 30_000, SEED)
    operation = stream.column("act") >> OPERATION_SHIFT
    removed = operation == REMOVE
    assert removed.any()
    first = np.flatnonzero(removed)[0]
    sweep = slice(first, first + workload.n_cgroups)
    np.testing.assert_array_equal(stream.column("cgroup")[sweep], np.arange(workload.n_cgroups))
    assert np.unique(stream.column("key")[sweep]).size == 1
    assert removed[sweep].all()
    changes = operation[operation > 0]
    # gone and back in turn, a sweep each
    kinds = changes[: changes.size // 300 * 300].reshape(-1, 300)
    assert (kinds == kinds[:, :1]).all()
    assert (np.diff(kinds[:, 0]) != 0).all()


@pytest.mark.parametrize(("n", "children"), [(1, 4), (2, 1), (6, 5), (100, 4), (450, 3)])
def test_the_tree_is_a_tree(n: int, children: int) -> None:
    parents = parents_of(n, children)
    assert parents[0] == -1
    assert (parents[1:] < np.arange(1, n)).all()
    assert np.bincount(parents[1:], minlength=1).max(initial=0) <= children
    leaves = leaves_of(n, children)
    np.testing.assert_array_equal(leaves, np.setdiff1d(np.arange(n), parents))


network_values = st.fixed_dictionaries(
    {
        "n_cgroups": st.integers(100, 2000),
        "active_cgroups": st.integers(1, 50),
        "n_sockets": st.integers(1, 5000),
        "rx_queues": st.integers(4, 64),
        "cpus": st.integers(1, 4),
        "flows_per_socket": st.integers(1, 20),
        "zipf_s": st.floats(0, 3),
        "n_keys": st.integers(4, 64),
        "inherited_programs": st.integers(0, 4),
        "charge_levels": st.integers(0, 6),
        "arrivals": st.sampled_from(["poisson", "on-off", "line-rate"]),
        "burst_factor": st.floats(1, 100),
        "packets_per_s_per_queue": st.floats(1, 1e8),
        "interrupt_window_us": st.floats(0, 1000),
        "batch_max_packets": st.integers(1, 64),
        "packet_mix": st.sampled_from(sorted(shared().mixes)),
        "header_bytes": st.integers(0, 256),
        "train_packets": st.floats(1, 1000),
        "gro_max_bytes": st.integers(0, 1 << 17),
        "gro_open_flows": st.integers(1, 64),
        "payload_touched_share": st.floats(0, 1),
        "application_instructions": st.integers(0, 100_000),
        "instructions_per_ns": st.floats(0.01, 100),
    }
)


@settings(max_examples=examples(40))
@given(values=network_values, n=st.integers(4, 500), seed=st.integers(0, (1 << 63) - 1))
def test_network_streams_hold_over_the_ranges(values: dict, n: int, seed: int) -> None:
    workload = network(**values)
    stream = make_stream(workload, n, seed)
    assert len(stream) == n
    check_bounds(workload, stream, seed)
    assert np.unique(workload.surrounding(seed).actors).size <= workload.active_cgroups


gpu_values = st.fixed_dictionaries(
    {
        "n_cgroups": st.integers(1, 500),
        "clients": st.lists(
            st.tuples(st.sampled_from(sorted(shared().clients)), st.integers(1, 40)),
            min_size=1,
            max_size=5,
        ),
        "n_keys": st.integers(1, 32),
        "charge_levels": st.integers(0, 6),
        "unplugs_per_s": st.sampled_from([0.0, 1.0, 500.0]),
        "background_share": st.floats(0, 1),
        "user_lines_per_us": st.floats(0, 1000),
        "user_ring_bytes": st.integers(64, 1 << 30),
    }
)


@settings(max_examples=examples(40))
@given(values=gpu_values, n=st.integers(1, 500), seed=st.integers(0, (1 << 63) - 1))
def test_gpu_streams_hold_over_the_ranges(values: dict, n: int, seed: int) -> None:
    workload = load_workload("gpu", **values)
    stream = make_stream(workload, n, seed)
    assert len(stream) == n
    assert stream.rows.min() >= 0
    lines = workload.surrounding(seed).ring_bytes // 64
    assert stream.column("cold_lines").max() <= lines


# --- churn ---


def test_containers_that_come_and_go_have_no_sockets() -> None:
    workload = load_workload("churn", starts_per_s=2000)
    stream = make_stream(workload, 40_000, SEED)
    operation = stream.column("act") >> OPERATION_SHIFT
    changed = np.flatnonzero(operation)
    assert changed.size > 50
    kinds = operation[changed].reshape(-1, 2)
    assert (kinds == [DESTROY, CREATE]).all()  # in this order, in one go
    cgroups = stream.column("cgroup")[changed].reshape(-1, 2)
    assert (cgroups[:, 0] == cgroups[:, 1]).all()
    assert not set(cgroups[:, 0].tolist()) & set(workload.surrounding(SEED).actors.tolist())


def test_containers_start_as_often_as_stated() -> None:
    workload = load_workload("churn", starts_per_s=5000)
    stream = make_stream(workload, 400_000, SEED)
    events = reach(stream) >= REACHES_AN_EVENT
    seconds = gaps_ns(workload, stream)[events].sum() / 1e9
    starts = (stream.column("act") >> OPERATION_SHIFT == CREATE).sum()
    assert starts / seconds == pytest.approx(5000, rel=4 / np.sqrt(starts))
