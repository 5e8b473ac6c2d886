"""The explorer: it finds the faults of what was posted, none in what is mended, and seeded ones."""

from __future__ import annotations

import json
import re
from typing import Any

import pytest

from cgsim import cli
from cgsim.errors import UserError
from cgsim.interface import explore, lanes, step_table
from cgsim.interface.checker.language import (
    BALANCE,
    DEADLOCK,
    LOST_UPDATE,
    OUTSIDE,
    PERCPU,
    PROPERTIES,
    SLEEP,
    Kind,
    Static,
    call_rcu,
    check,
    kfree,
    kzalloc,
    migrate_disable,
    mutex_lock,
    mutex_unlock,
    rcu_read_lock,
    rcu_read_unlock,
    refcount_dec_and_test,
    refcount_inc_not_zero,
    softirq_enter,
    spin_lock,
    step,
    synchronize_rcu,
    take_callback,
    xchg,
)
from cgsim.interface.checker.layout import Actor, build
from cgsim.interface.checker.search import Exploration, Step, explore_model
from cgsim.interface.exploring import SEEDS, Explored
from cgsim.interface.interfaces import INTERFACES, get_interface, model_of

POSTED = [name for name in INTERFACES if name.endswith("-as-posted")]
OTHERS = [name for name in INTERFACES if name not in POSTED]


@pytest.fixture(scope="module")
def explored() -> dict[str, Explored]:
    """Every interface, all scenarios."""
    return {found.name: found for found in explore()}


# --- the candidates ---


@pytest.mark.compiled
@pytest.mark.parametrize("name", OTHERS)
def test_nothing_is_violated(explored: dict[str, Explored], name: str) -> None:
    """Searched to the end, no violation, and every scenario can end well."""
    found = explored[name]
    assert found.complete
    assert found.violations == ()
    assert all(scenario.ended for scenario in found.scenarios)


@pytest.mark.compiled
@pytest.mark.parametrize(
    ("name", "scenario", "broken", "statement"),
    [
        # the bucket-wide unlink: the other key's reader finds nothing
        (
            "cgroup-priv-as-posted", "two owners",
            "an installed datum is found until it is removed", "hash_del",
        ),
        ("cgroup-priv-as-posted", "installed twice", "one datum under a key", "hlist_add_head"),
        (
            "cgroup-priv-as-posted", "read in softirq", "no sleeping in atomic context",
            "mutex_lock(&cgrp->mutex)",
        ),
        (
            "cgroup-priv-as-posted", "two cgroups", "no list corrupted by two locks", "list_add",
        ),
        (
            "cgroup-priv-kref-as-posted", "removed in use", "no reference from zero",
            "refcount_inc(&datum->ref)",
        ),
        ("cgroup-priv-kref-as-posted", "removed in use", "no use after free", "kfree(datum)"),
        (
            "cgroup-priv-kref-as-posted", "ioctl refused", "errors are returned as errors",
            "return ret",
        ),
        ("cgroup-priv-kref-as-posted", "first key", "every valid key is accepted", "key = 0"),
        (
            "cgroup-priv-kref-as-posted", "driver unloaded, data below",
            "no call into an unloaded module", "cgroup_priv_destroykey",
        ),
        (
            "cgroup-buf-as-posted", "counted while another attaches", "no update is lost",
            "larger[index] = old[index]",
        ),
    ],
)  # fmt: skip
def test_what_was_posted(
    explored: dict[str, Explored], name: str, scenario: str, broken: str, statement: str
) -> None:
    """Each fault is found, with a schedule that goes through the faulty statement."""
    (violation,) = [
        v for v in explored[name].violations if (v.scenario, v.property) == (scenario, broken)
    ]
    assert any(statement in f"{step.does} {step.where}" for step in violation.schedule)


@pytest.mark.compiled
@pytest.mark.parametrize("name", SEEDS)
def test_seeded_faults(name: str) -> None:
    """A fault built into each mended or proposed interface is found as well."""
    seed, broken = SEEDS[name]
    (found,) = explore([name], seed=seed)
    assert broken in found.shortest


@pytest.mark.compiled
def test_the_shortest_schedule(explored: dict[str, Explored]) -> None:
    """A softirq reader alone meets the mutex at its fifth step: no other actor is in the way."""
    violation = explored["cgroup-priv-as-posted"].shortest["no sleeping in atomic context"]
    assert [step.actor for step in violation.schedule] == ["softirq-reader"] * 5
    assert violation.schedule[-1].does == "mutex_lock(&cgrp->mutex)"


@pytest.mark.compiled
def test_steps_are_the_kernels_c(explored: dict[str, Explored]) -> None:
    """No step is a line of Python, and what a count came to is said."""
    schedules = [v.schedule for found in explored.values() for v in found.violations]
    schedules += [one.ended for found in explored.values() for one in found.scenarios]
    does = {step.does for schedule in schedules for step in schedule}
    python = re.compile(
        r"\b(not|and|or|POSTED|SEED|step|check|choose)\b|(cgrp|task|priv|datum)\.|'"
    )
    assert not [text for text in does if python.search(text)]
    assert {
        "rcu_read_lock()", "if (!cgrp->online)", "WARN_ON(after->list.prev != head)",
        "refcount_inc_not_zero(&cgrp->refs) succeeds", "mutex_lock(&cgroup_mutex)",
    } <= does  # fmt: skip


# --- the engine, on small programs ---

BOX = Kind("box", ("count", "lock", "*first"), slots=1)
ITEM = Kind("item", ("value",), pool=3)
PER_CPU = Kind("per cpu", ("count",), percpu=1)
box: Any = Static("box", BOX)
cpu: Any = Static("cpu", PER_CPU)
full: Any = Static("full", BOX, {"count": 1})
LAST = (3, 4)
ghost: Any = Static("ghost", Kind("ghost", (), slots=2, ghost=True))


def run(*functions: Any, daemon: Any = None) -> Exploration:
    """All interleavings of some functions."""
    actors = [Actor(f"{f.__name__} {i}", f) for i, f in enumerate(functions)]
    if daemon:
        actors.append(Actor("daemon", daemon, daemon=True))
    return explore_model(build(tuple(actors), {}))


def broken(found: Exploration) -> set[str]:
    """Names of the properties that do not hold."""
    return {violation.property for violation in found.violations}


def _add():
    count = box.count
    box.count = count + 1
    ghost[0] = ghost[0] + 1
    if ghost[0] == 2:
        total = box.count
        check(total == 2, LOST_UPDATE)


def _locked_add():
    spin_lock(box.lock)
    count = box.count
    box.count = count + 1
    ghost[0] = ghost[0] + 1
    box.lock = 0
    if ghost[0] == 2:
        total = box.count
        check(total == 2, LOST_UPDATE)


def test_two_counters_lose_an_update() -> None:
    """Read, read, write, write: found with the fewest steps there are."""
    found = run(_add, _add)
    (violation,) = found.violations
    assert violation.property == PROPERTIES[LOST_UPDATE]
    assert len(violation.schedule) == 5
    assert broken(run(_locked_add, _locked_add)) == set()


def _take_and_put():
    full[0] = LAST[0] + LAST[1]
    if full.lock != 0 or not refcount_inc_not_zero(full.count):
        step("is not reached")
    elif not refcount_dec_and_test(full.count):
        step("all is over")


def test_the_outcome_of_a_count_is_said() -> None:
    """The call is the step, not the condition around it; constants are numbers."""
    found = run(_take_and_put)
    assert [step.does for step in found.ended] == [
        "full[0] = 7",
        "if (full.lock != 0 || !refcount_inc_not_zero(&full.count))",
        "refcount_inc_not_zero(&full.count) succeeds",
        "refcount_dec_and_test(&full.count) is false",
        "all is over",
    ]


def _load_three():
    a = box.count
    b = box.count
    c = box.count
    check(a + b + c == 0, LOST_UPDATE)


def test_states_are_counted() -> None:
    """Three actors of three loads are a grid of 4 x 4 x 4 positions."""
    assert run(_load_three).states == 4
    found = run(_load_three, _load_three, _load_three)
    assert (found.states, found.depth, found.transitions) == (64, 9, 144)
    assert found.complete


def _unlock_unheld():
    mutex_unlock(box.lock)


def _keep_lock():
    mutex_lock(box.lock)


def test_locks() -> None:
    assert broken(run(_unlock_unheld)) == {PROPERTIES[BALANCE]}
    assert broken(run(_keep_lock, _keep_lock)) == {PROPERTIES[DEADLOCK]}


def _sleep_in_softirq():
    softirq_enter()
    mutex_lock(box.lock)


def _sleep_in_section():
    rcu_read_lock()
    synchronize_rcu()


def _sleep_under_spinlock():
    spin_lock(box.lock)
    synchronize_rcu()


@pytest.mark.parametrize("function", [_sleep_in_softirq, _sleep_in_section, _sleep_under_spinlock])
def test_sleep(function: Any) -> None:
    assert broken(run(function)) == {PROPERTIES[SLEEP]}


def _touch():
    count = cpu.count
    cpu.count = count + 1


def _pin_and_touch():
    migrate_disable()
    _touch()


def _section_and_touch():
    rcu_read_lock()
    _touch()
    rcu_read_unlock()


def test_percpu_needs_more_than_a_read_section() -> None:
    assert broken(run(_section_and_touch)) == {PROPERTIES[PERCPU]}
    assert broken(run(_pin_and_touch)) == set()


def _beyond():
    first = box[1]
    check(first == 0, LOST_UPDATE)


def test_outside() -> None:
    assert broken(run(_beyond)) == {PROPERTIES[OUTSIDE]}


def _publish():
    item = kzalloc(ITEM, value=1)
    mutex_lock(box.lock)
    if box.first:
        kfree(item)
    else:
        box.first = item
    mutex_unlock(box.lock)


def _overwrite():
    item = kzalloc(ITEM, value=1)
    mutex_lock(box.lock)
    box.first = item
    mutex_unlock(box.lock)


def _swap():
    mutex_lock(box.lock)
    old = box.first
    box.first = 0
    mutex_unlock(box.lock)
    if old:
        synchronize_rcu()
        kfree(old)


def _swap_at_once():
    old = xchg(box.first, 0)
    if old:
        kfree(old)


def _swap_in_two():
    old = box.first
    box.first = 0
    if old:
        kfree(old)


def _swap_later():
    old = xchg(box.first, 0)
    if old:
        call_rcu(old)


def _read():
    rcu_read_lock()
    item = box.first
    if item:
        value = item.value
        check(value == 1, LOST_UPDATE)
    rcu_read_unlock()


def _callbacks():
    while True:
        kfree(take_callback())


def test_grace_periods() -> None:
    """Waiting for readers keeps their datum; freeing at once does not; nobody is a leak."""
    assert broken(run(_publish, _swap, _read, _read)) == set()
    assert broken(run(_publish, _swap_at_once, _read)) == {"no use after free"}
    assert "no double free" in broken(run(_publish, _swap_in_two, _swap_in_two))
    assert broken(run(_publish, _overwrite)) == {"no leak at the end"}
    assert broken(run(_publish, _swap_later, daemon=_callbacks)) == set()
    assert broken(run(_publish, _swap_later)) == {"no leak at the end"}


# --- bounds and mistakes ---


def test_a_bound_is_said() -> None:
    model = model_of(get_interface("map-storage"), ("installer", "reader", "reader"))
    whole = explore_model(model)
    assert whole.complete
    cut = explore_model(model, states=100)
    assert (cut.states, cut.complete) == (100, False)
    assert "bound of 100 states" in cut.bound


def test_same_answer_again() -> None:
    one, two = (explore(["cgroup-priv-kref-as-posted"])[0].record() for _ in range(2))
    assert one == two


def _recursive():
    _recursive()


def _unknown_word():
    box.count = nowhere  # type: ignore[name-defined] # noqa: F821


def _too_large():
    box.count = 1000


def _no_such_statement():
    with box:
        pass


@pytest.mark.parametrize(
    ("function", "message"),
    [
        (_recursive, "recursion"),
        (_unknown_word, "unknown name 'nowhere'"),
        (_too_large, "8 bits"),
        (_no_such_statement, "not part of the language"),
    ],
)
def test_protocols_that_are_refused(function: Any, message: str) -> None:
    with pytest.raises(UserError, match=message):
        run(function)


@pytest.mark.parametrize(
    ("words", "message"),
    [
        (["explore", "cgroup-prif"], "did you mean 'cgroup-priv'"),
        (["explore", "map-storage", "--actors", "raeder"], "did you mean 'reader'"),
        (["explore", "map-storage", "--states", "0"], "1..20000000"),
        (["explore", "map-storage", "--actors", *["reader"] * 7], "allowed: 1..6"),
    ],
)
def test_mistakes(words: list[str], message: str, capsys: pytest.CaptureFixture[str]) -> None:
    assert cli.main(words) == 2
    assert message in capsys.readouterr().err


def test_command_line(capsys: pytest.CaptureFixture[str]) -> None:
    """JSON as documented; the text has the table, or lanes."""
    assert cli.main(["explore", "cgroup-priv-as-posted", "cgroup-buf", "--json"]) == 0
    found = json.loads(capsys.readouterr().out)["interfaces"]
    assert [i["interface"] for i in found] == ["cgroup-priv-as-posted", "cgroup-buf"]
    assert found[0]["complete"] is True
    assert found[0]["states"] > 1000
    assert {"property", "schedule"} <= found[0]["violations"][0].keys()
    assert found[1]["violations"] == []
    words = ["explore", "cgroup-buf", "--actors", "reader", "installer", "--lanes"]
    assert cli.main(words) == 0
    assert "nothing violated" in capsys.readouterr().out


def test_drawings() -> None:
    schedule = (Step("a", "x = box.first", "f:1"), Step("b", "kfree(x)", "g:2"))
    assert step_table(schedule).splitlines()[1] == "  2  b  kfree(x)       g:2"
    lines = lanes(schedule, 40).splitlines()
    assert lines[0].split() == ["a", "b"]
    assert lines[3].index("kfree(x)") == 22
    assert "no step" in lanes(())
    assert "no step" in step_table(())
