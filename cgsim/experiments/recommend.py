"""The answer for one's own numbers: which design, how sure, at what price, and where it flips."""

from __future__ import annotations

import os
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any

import numpy as np
import pandas as pd

from cgsim.designs.base import get_design
from cgsim.errors import UserError, out_of_range
from cgsim.experiments.footprint import ways
from cgsim.experiments.in_workload import simulate
from cgsim.experiments.model_error import Family, model_errors, nearest_family
from cgsim.experiments.paired import (
    BEFORE,
    Difference,
    by_cost,
    difference,
    not_beaten,
    turned_pairs,
    wants_seeds,
)
from cgsim.experiments.places_of_use import able, get_user, limits, narrows
from cgsim.experiments.points import user_for
from cgsim.experiments.recorded_interface import recorded_interface
from cgsim.experiments.summary import interval_half_width
from cgsim.experiments.upkeep import upkeep
from cgsim.limits import check_common
from cgsim.machines import Machine, load_machine
from cgsim.stage.surroundings import COPY_BYTES
from cgsim.workloads import NetworkWorkload, load_workload
from cgsim.workloads.base import leaves_of

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence

SERVER = "zen4-genoa"
"""The machine that questions about servers are answered for, unless another one is named."""
OTHER_SERVERS = ("skylake-sp", "zen3-milan", "neoverse-v1")
LOOKUPS = {"skb": 600, "current": 60}
"""Measured per seed, by how a workload reaches its cgroups: submissions to a GPU are long."""
FEWEST_SEEDS, MOST_SEEDS = 4, 16
_CPUS = 16
_UPDATE_KEYS, _UPDATE_CGROUPS = 8, 200
_BORDER_SEEDS = 3
_CONTENDERS = 3
_KEYS, _CGROUPS = (1, 4, 16, 64, 256), (10, 100, 1000, 10_000)
_MOST_DATA = 100_000


@dataclass(frozen=True)
class Point:
    """What is asked: sizes, machine and workload are those of all designs."""

    user: str
    workload: str
    machine: Machine
    n_keys: int
    n_cgroups: int
    kernel: str
    seed: int
    lookups: int


@dataclass(frozen=True)
class Costs:
    """What lookups cost at a point beyond what the place costs anyway.

    added : design -> float64[seeds] (ns). place : float64[seeds] (ns). rows : one of each design's.
    """

    point: Point
    added: dict[str, np.ndarray]
    place: np.ndarray
    rows: dict[str, pd.Series]
    family: Family

    def compare(self, one: str, other: str) -> Difference:
        """Two of the designs."""
        return difference(self.added, one, other, self.family)


@dataclass(frozen=True)
class Study:
    """What an answer is drawn from: costs, the designs left out with the reason, the choice."""

    costs: Costs
    left: dict[str, str]
    cpus: int
    chosen: str


def recommend(
    user: str,
    *,
    n_keys: int | None = None,
    n_cgroups: int | None = None,
    cpus: int | None = None,
    machine: str | Machine = SERVER,
    workload: str | None = None,
    kernel: str = "7.3.4",
    seed: int = 1,
    replicates: int | None = None,
    lookups: int | None = None,
    borders: bool = True,
    machines: Sequence[str] = OTHER_SERVERS,
    designs: Sequence[str] | None = None,
) -> dict[str, Any]:
    """The design for a user's numbers, the others beside it, and where the answer flips.

    Parameters
    ----------
    user : "driver", "packet-hook", "counter" or "bpf-map"
    n_keys, n_cgroups : data of each cgroup, and cgroups; None: as the workload has them. Cgroups
        with traffic go in proportion
    cpus : that use the data, a percpu datum has a copy for each; None: 16, or all there are
    machine : name, path of a profile, or a `Machine`
    workload : name; None: the user's own
    replicates : seeds; None: as many as decide the cheapest one's pairs, of 4 to 16
    lookups : measured per seed; None: 600, or 60 of a workload with long pauses
    borders : whether to look for numbers and machines with another answer
    machines : to look at for another answer
    designs : only these; None: all

    Returns
    -------
    dict: `user`, `recommended`, `runner_up`, `machine`, `workload`, `n_keys`, `n_cgroups`, `cpus`,
    `place_ns` (what the place of use costs without a lookup), `rate_per_s` (lookups on one CPU),
    `seeds`, `error` (the model's, and its source), `orders` (recommended against each other one),
    `designs`, the cheapest first and those that cannot be used last, each with `design`, `usable`,
    `why` (why not, or its limits), `ns` (what a lookup adds to `place_ns`), `low`, `high` (with the
    model's error), `seeds_ns` (half-width over seeds), `share`, `share_low`, `share_high` (of a
    CPU's time), `bytes` (of one cgroup: fields, areas, data), `measured`; and `borders`, each with
    `what`, `at`, `recommended` (None: none of those compared can be used), `why`, `by_ns`,
    `error_ns`; and `machines`, each with `machine`, `pairs` (with a claimed order there and here)
    and `turned` (those in another order there); `updates` of the first two: `design`, `n_cgroups`,
    `n_keys` and `operations`, each with locked instructions, bytes allocated and waiting for a
    grace period, ns and how many were timed.

    Raises UserError for a bad argument.
    """
    study = study_user(
        user, n_keys=n_keys, n_cgroups=n_cgroups, cpus=cpus, machine=machine, workload=workload,
        kernel=kernel, seed=seed, replicates=replicates, lookups=lookups, designs=designs,
    )  # fmt: skip
    answer = answer_of(study, elsewhere(study, machines) if borders else None)
    named = [answer["recommended"], answer["runner_up"]]
    return answer | {"updates": [_update_facts(study, name) for name in named if name]}


def _update_facts(study: Study, design: str) -> dict[str, Any]:
    """What the update side of a design does: locked instructions, bytes, waiting, ns; by operation.

    Of `cgsim.upkeep` with few cgroups, which decide nothing here but the walk of a key that goes.
    """
    point = study.costs.point
    keys = min(point.n_keys, _UPDATE_KEYS)
    data = "percpu" if point.user == "counter" else ways(get_design(design))[0]
    frame = upkeep(
        design, point.machine, n_cgroups=_UPDATE_CGROUPS, n_keys=keys, data=data, samples=8,
        replicates=1, seed=point.seed, kernel=point.kernel,
    )  # fmt: skip
    columns = ["operation", "locked", "allocated_bytes", "waiting_bytes", "ns", "operations"]
    rows = frame[columns].to_dict("records")
    return {"design": design, "n_cgroups": _UPDATE_CGROUPS, "n_keys": keys, "operations": rows}


def study_user(
    user: str,
    *,
    n_keys: int | None = None,
    n_cgroups: int | None = None,
    cpus: int | None = None,
    machine: str | Machine = SERVER,
    workload: str | None = None,
    kernel: str = "7.3.4",
    seed: int = 1,
    replicates: int | None = None,
    lookups: int | None = None,
    designs: Sequence[str] | None = None,
) -> Study:
    """What an answer is drawn from; arguments as `recommend`."""
    who = get_user(user)
    model = machine if isinstance(machine, Machine) else load_machine(machine)
    name = workload or who.workload
    cpus = min(_CPUS, model.n_cpus) if cpus is None else cpus
    asked = {
        "n_keys": n_keys, "n_cgroups": n_cgroups, "replicates": replicates, "lookups": lookups,
    }  # fmt: skip
    given = {key: value for key, value in asked.items() if value is not None}
    check_common("recommend", cpus=cpus, seed=seed, **given)
    if cpus > model.n_cpus:
        allowed = f"1..{model.n_cpus}, the CPUs of {model.name}"
        raise out_of_range("recommend", "cpus", cpus, allowed)
    loaded = load_workload(name, **_sizes(name, n_keys, n_cgroups))
    user_for(loaded, user)
    usable, left = able(user, loaded.n_keys, designs)
    if not usable:
        first = next(iter(left.values()))
        raise UserError(f"recommend: {user} with {loaded.n_keys} keys: {first}")
    measured = lookups or LOOKUPS[loaded.reach]
    point = Point(user, name, model, loaded.n_keys, loaded.n_cgroups, kernel, seed, measured)
    costs = cost_at(point, usable, replicates) if replicates else _resolve(point, usable)
    return Study(costs, left, cpus, choose(costs))


def answer_of(study: Study, found: dict[str, Any] | None = None) -> dict[str, Any]:
    """The answer of `recommend`; found : of `elsewhere`, None if nobody looked."""
    costs, chosen = study.costs, study.chosen
    point = costs.point
    ordered = by_cost(costs.added)
    rate = float(costs.rows[ordered[0]]["rate_per_s"])
    rivals = [design for design in ordered if design != chosen]
    return {
        "user": point.user,
        "recommended": chosen,
        "runner_up": rivals[0] if rivals else None,
        "machine": point.machine.name,
        "workload": point.workload,
        "n_keys": point.n_keys,
        "n_cgroups": point.n_cgroups,
        "cpus": study.cpus,
        "place_ns": float(costs.place.mean()),
        "rate_per_s": rate,
        "seeds": len(costs.place),
        "error": _error_facts(costs.family),
        "interface": recorded_interface(point.user),
        "orders": [_order_facts(costs.compare(chosen, other)) for other in rivals],
        "designs": [
            *(_usable_row(costs, design, study.cpus, rate) for design in ordered),
            *(_left_row(design, why) for design, why in study.left.items()),
        ],
        **(found or {"borders": [], "machines": []}),
    }


def cost_at(point: Point, designs: Iterable[str], seeds: int, first: int = 0) -> Costs:
    """Simulate designs at a point, with seeds first, first + 1, ... after the point's own."""
    frames = {name: _simulate(point, name, seeds, first) for name in dict.fromkeys(designs)}
    control = _simulate(point, next(iter(frames)), seeds, first, without_lookup=True)
    place = control["ns"].to_numpy()
    some = next(iter(frames.values())).iloc[0]
    family = nearest_family(point.machine, "workload", float(some["between_bytes"]))
    return Costs(
        point,
        {name: frame["ns"].to_numpy() - place for name, frame in frames.items()},
        place,
        {name: frame.iloc[0] for name, frame in frames.items()},
        family,
    )


def _simulate(
    point: Point, design: str, seeds: int, first: int, *, without_lookup: bool = False
) -> pd.DataFrame:
    return simulate(
        design,
        point.machine,
        point.workload,
        user=point.user,
        lookups=point.lookups,
        replicates=seeds,
        seed=point.seed + first,
        kernel=point.kernel,
        without_lookup=without_lookup,
        threads=min(seeds, os.cpu_count() or 1),
        **_sizes(point.workload, point.n_keys, point.n_cgroups),
    )


def _sizes(workload: str, n_keys: int | None, n_cgroups: int | None) -> dict[str, Any]:
    """A workload's parameters for such numbers; the cgroups with traffic go in proportion."""
    own = load_workload(workload)
    sizes: dict[str, Any] = {} if n_keys is None else {"n_keys": n_keys}
    if n_cgroups is not None:
        sizes["n_cgroups"] = n_cgroups
        if isinstance(own, NetworkWorkload):
            leaves = leaves_of(n_cgroups, own.children_per_cgroup).size
            active = max(1, min(leaves, round(own.active_cgroups * n_cgroups / own.n_cgroups)))
            sizes |= {"active_cgroups": active, "n_sockets": max(own.n_sockets, active)}
    return sizes


def _resolve(point: Point, designs: Sequence[str]) -> Costs:
    """Costs with as many seeds as tell the cheapest from the others, up to the most."""
    costs = cost_at(point, designs, FEWEST_SEEDS)
    while (seeds := len(costs.place)) < MOST_SEEDS:
        best = by_cost(costs.added)[0]
        if not any(wants_seeds(costs.compare(best, o)) for o in costs.added if o != best):
            break
        more = cost_at(point, designs, min(seeds, MOST_SEEDS - seeds), seeds)
        costs = replace(
            costs,
            added={n: np.concatenate([each, more.added[n]]) for n, each in costs.added.items()},
            place=np.concatenate([costs.place, more.place]),
        )
    return costs


def choose(costs: Costs) -> str:
    """Of those that the cheapest is not clearly before: fewest limits, fewest bytes, then cost."""
    user = costs.point.user
    contenders = not_beaten(costs.added, costs.family)
    return min(
        contenders,
        key=lambda name: (narrows(name, user), _bytes(costs, name, 1), contenders.index(name)),
    )


def _bytes(costs: Costs, design: str, cpus: int) -> float:
    """Of one cgroup with all its data: its fields in struct cgroup and percpu copies included."""
    row = costs.rows[design]
    copies = cpus * COPY_BYTES if costs.point.user == "counter" else 0
    own = row["field_bytes"] + row["cgroup_bytes"]
    return float(own + costs.point.n_keys * (row["entry_bytes"] + copies))


def _usable_row(costs: Costs, design: str, cpus: int, rate: float) -> dict[str, Any]:
    added = costs.added[design]
    ns, half = float(added.mean()), interval_half_width(added)
    low, high = costs.family.interval(ns - half, ns + half)
    return {
        "design": design,
        "usable": True,
        "why": limits(design),
        "ns": ns,
        "low": low,
        "high": high,
        "bytes": _bytes(costs, design, cpus),
        "seeds_ns": half,
        "share": ns * 1e-9 * rate,
        "share_low": low * 1e-9 * rate,
        "share_high": high * 1e-9 * rate,
        "measured": model_errors().measured(design, costs.point.machine.name),
    }


def _left_row(design: str, why: str) -> dict[str, Any]:
    none = dict.fromkeys(("ns", "low", "high", "bytes"))
    return {"design": design, "usable": False, "why": why, **none}


def _error_facts(family: Family) -> dict[str, Any]:
    errors = model_errors()
    return {
        "family": family.name,
        "what": family.what,
        "rows": family.rows,
        "low": family.low,
        "high": family.high,
        "pair": family.pair_ninetieth,
        "pair_floor_ns": family.pair_floor_ns,
        "measured_on": errors.machine,
        "source": errors.source,
    }


def _order_facts(found: Difference) -> dict[str, Any]:
    return {
        "first": found.first,
        "second": found.second,
        "verdict": found.verdict,
        "by_ns": found.ns,
        "error_ns": found.error_ns,
    }


def elsewhere(study: Study, machines: Sequence[str] = OTHER_SERVERS) -> dict[str, Any]:
    """Where another design is before the recommended one, or it can no longer be used."""
    costs, chosen = study.costs, study.chosen
    point = costs.point
    borders: list[dict[str, Any]] = []
    for what, values in (("keys", _KEYS), ("cgroups", _CGROUPS)):
        field = f"n_{what}"
        here = getattr(point, field)
        above = sorted(v for v in values if v > here)
        below = sorted((v for v in values if v < here), reverse=True)
        for side in (above, below):
            for value in side:
                other = replace(point, **{field: value})  # type: ignore[arg-type]
                if other.n_keys * other.n_cgroups > _MOST_DATA:
                    break
                flip, _ = _flip(costs, other, chosen)
                if flip is not None:
                    borders.append({"what": what, "at": value, **flip})
                    break
    agree = []
    for name in machines:
        if name == point.machine.name:
            continue
        flip, there = _flip(costs, replace(point, machine=load_machine(name)), chosen)
        if flip is not None:
            borders.append({"what": "machine", "at": name, **flip})
        pairs, turned = turned_pairs(costs.added, there.added, costs.family, there.family)
        agree.append({"machine": name, "pairs": pairs, "turned": [list(pair) for pair in turned]})
    return {"borders": borders, "machines": agree}


def _flip(costs: Costs, point: Point, chosen: str) -> tuple[dict[str, Any] | None, Costs]:
    """(who is before the chosen design at another point, None if nobody is; the costs there)."""
    order = by_cost(costs.added)
    general = [name for name in order if not limits(name)]
    wanted = [*order[:_CONTENDERS], *general[:1], chosen]
    usable, left = able(point.user, point.n_keys, wanted)
    if not usable:
        none = {"recommended": None, "why": left[chosen], "by_ns": None, "error_ns": None}
        return none, costs
    there = cost_at(point, usable, _BORDER_SEEDS)
    best = by_cost(there.added)[0]
    if chosen in left:
        return {"recommended": best, "why": left[chosen], "by_ns": None, "error_ns": None}, there
    apart = there.compare(chosen, best)
    if best == chosen or apart.verdict != BEFORE:
        return None, there
    found = {"by_ns": apart.ns, "error_ns": apart.error_ns}
    return {"recommended": best, "why": str(apart), **found}, there
