"""BPF's buffer as the thread proposes it, and the users' mistakes."""

from __future__ import annotations

import json
from itertools import pairwise
from typing import Any

import pytest

from cgsim import cli
from cgsim.core import traced
from cgsim.core.heap import Heap
from cgsim.core.host_memory import address_of
from cgsim.core.space import Traced, peek
from cgsim.designs.pointer_hash import AS_POSTED
from cgsim.errors import UserError
from cgsim.interface import (
    COUNTER,
    HARMS,
    MISUSES,
    Add,
    Attachments,
    GetBuffer,
    Load,
    Program,
    Store,
    misuse,
    packet_cost,
    verify,
)
from cgsim.interface.attach import INLINED, P_PATH, POINTER, run_packet
from cgsim.interface.misuse import worst
from cgsim.interface.moving import written_while_copied
from cgsim.interface.parts import first_fit
from cgsim.interface.program import MAX_BUFFER_BYTES, MAX_INSTRUCTIONS
from cgsim.kernel import load_kernel

CHAIN = (-1, 0, 1, 1, 0)
"""A root, a child with two children, and another child."""


def stand(parents: Any = CHAIN) -> Attachments:
    """A hierarchy in an empty memory."""
    return Attachments(Heap(1 << 27, seed=1), load_kernel(), parents)


# --- the verifier ---


def test_accepted_with_the_size_for_aux() -> None:
    verdict = verify(COUNTER)
    assert verdict.accepted
    assert verdict.buffer_bytes == 16, "struct my_data: u64, u32, padding"
    assert str(verdict) == "program counter: accepted, 16 bytes of buffer"
    twice = Program("two sizes", (GetBuffer(8), GetBuffer(24), Load(16, 8), GetBuffer(8)))
    assert verify(twice).buffer_bytes == 24


@pytest.mark.parametrize(
    ("instructions", "number", "reason"),
    [
        ((GetBuffer(12), Load(8, 8)), 1, "bytes 8..15 of 12"),
        ((GetBuffer(16), Load(0, 8), Store(16, 1)), 2, "bytes 16..16 of 16"),
        ((GetBuffer(16), Load(-8, 8)), 1, "bytes -8..-1 of 16"),
        ((GetBuffer(24), GetBuffer(8), Load(8, 8)), 2, "bytes 8..15 of 8"),
        ((Load(0, 8),), 0, "bpf_get_cgroup_buf comes first"),
        ((GetBuffer(16), Load(4, 8)), 1, "offset 4 is not a multiple of 8"),
        ((GetBuffer(16), Load(0, 3)), 1, "an access of 3 bytes"),
        ((GetBuffer(16), Store(0, 8)), 1, "r has no value yet"),
        ((GetBuffer(16), Add(1)), 1, "r has no value yet"),
        ((GetBuffer(0),), 0, "a buffer of 0 bytes"),
        ((GetBuffer(MAX_BUFFER_BYTES + 1),), 0, "allowed: 1..32768"),
        ((GetBuffer(8), *[Load(0, 8)] * MAX_INSTRUCTIONS), MAX_INSTRUCTIONS, "longer than"),
    ],
)
def test_refused_at_load(instructions: tuple[Any, ...], number: int, reason: str) -> None:
    """The verdict names the instruction; attach refuses the program with that line."""
    program = Program("bad", instructions)
    verdict = verify(program)
    assert not verdict.accepted
    assert verdict.instruction == number
    assert reason in verdict.reason
    with pytest.raises(UserError) as caught:
        stand((-1,)).attach(program, 0)
    assert str(caught.value) == str(verdict)
    assert f"refused at instruction {number} " in str(verdict)


def test_no_instruction_at_all() -> None:
    with pytest.raises(UserError, match="instruction 0 = 'load' is not allowed; allowed: GetB"):
        verify(Program("odd", ("load",)))  # type: ignore[arg-type]


def test_the_last_byte_is_allowed() -> None:
    inside = Program("inside", (GetBuffer(12), Load(8, 4), Store(11, 1)))
    assert verify(inside).accepted


# --- attach ---


def test_a_program_runs_for_the_cgroups_below_and_counts_in_each() -> None:
    hierarchy = stand()
    number = hierarchy.attach(COUNTER, 1)
    assert hierarchy.runs_for(number) == [1, 2, 3]
    for cgroup, packets in ((0, 2), (1, 3), (2, 5), (4, 1)):
        for _ in range(packets):
            hierarchy.run(cgroup)
    counted = [
        int(peek(hierarchy.space, hierarchy.part(number, cgroup), 8)) for cgroup in (1, 2, 3)
    ]
    assert counted == [3, 5, 0]
    assert hierarchy.buffer_bytes(0) == hierarchy.buffer_bytes(4) == 0


def test_effective_programs_are_own_first_then_the_ancestors() -> None:
    hierarchy = stand()
    root, child, leaf = (hierarchy.attach(COUNTER, cgroup) for cgroup in (0, 1, 3))
    assert hierarchy.effective(3) == [leaf, child, root]
    assert hierarchy.effective(4) == [root]
    new = hierarchy.create(3)
    assert hierarchy.effective(new) == [leaf, child, root]
    assert hierarchy.run(new) == 3, "room for their data was there from the start"


def test_programs_divide_the_buffer() -> None:
    """Parts do not overlap, and have one offset wherever the program runs."""
    hierarchy = stand()
    numbers = [hierarchy.attach(COUNTER, cgroup) for cgroup in (1, 3, 0, 1)]
    for cgroup in range(len(CHAIN)):
        parts = sorted(hierarchy.part(number, cgroup) for number in hierarchy.effective(cgroup))
        assert all(b - a >= 16 for a, b in pairwise(parts))
    assert len({int(hierarchy.table[number, 1]) for number in numbers}) == len(numbers)


def test_inlined_where_it_runs_for_one_cgroup() -> None:
    hierarchy = stand()
    leaf, shared = hierarchy.attach(COUNTER, 3), hierarchy.attach(COUNTER, 1)
    assert list(hierarchy.table[[leaf, shared], P_PATH]) == [INLINED, POINTER]
    hierarchy.create(3)
    assert hierarchy.table[leaf, P_PATH] == POINTER, "it runs for the new child, too"
    with pytest.raises(UserError, match="it runs for 2 cgroups, so that no single address"):
        hierarchy.force("inlined")
    with pytest.raises(UserError, match="unknown path 'fast'; allowed: worst"):
        hierarchy.force("fast")


def test_a_buffer_that_moves_keeps_its_content_and_has_programs_patched() -> None:
    hierarchy = stand()
    first = hierarchy.attach(COUNTER, 3)
    for _ in range(7):
        hierarchy.run(3)
    before = hierarchy.part(first, 3)
    waiting = hierarchy.heap.pending_bytes
    for _ in range(4):
        hierarchy.attach(COUNTER, 3)
    assert hierarchy.buffer_bytes(3) == 96, "five parts of 16 bytes"
    assert hierarchy.part(first, 3) != before
    assert peek(hierarchy.space, hierarchy.part(first, 3), 8) == 7
    assert hierarchy.heap.pending_bytes > waiting, "the old one waits for a grace period"
    assert hierarchy.patches >= 1
    assert hierarchy.run(3) == 8 + 4


def test_all_ways_find_the_same_bytes() -> None:
    """The counter goes on, whichever way the program finds its buffer."""
    hierarchy = stand((-1, 0))
    number = hierarchy.attach(COUNTER, 1)
    for count, path in enumerate(("worst", "pointer", "inlined", "cgroup-storage"), start=1):
        hierarchy.force(path)
        assert hierarchy.run(1) == count
    assert peek(hierarchy.space, hierarchy.part(number, 1), 8) == 4


def test_what_each_way_loads() -> None:
    """Accesses beyond those of the packet itself: the chain of the thread, one load, none, five."""
    hierarchy = stand((-1, 0))
    hierarchy.attach(COUNTER, 1)
    log = traced.new_log(200)
    space = Traced(hierarchy.heap.mem, hierarchy.heap.block, address_of(log))
    counted = {}
    for path in ("inlined", "pointer", "worst", "cgroup-storage"):
        hierarchy.force(path)
        traced.clear(log)
        run_packet(space, hierarchy.shape, hierarchy.sockets[1], hierarchy.table, hierarchy.code)
        counted[path] = len(traced.parse(log).accesses)
    base = counted["inlined"]
    assert {path: n - base for path, n in counted.items()} == {
        "inlined": 0,
        "pointer": 1,
        "worst": 3,
        "cgroup-storage": 5,
    }


def test_detach_leaves_the_data() -> None:
    hierarchy = stand((-1,))
    number = hierarchy.attach(COUNTER, 0)
    hierarchy.run(0)
    hierarchy.detach(number, 0)
    assert hierarchy.run(0) == 0
    assert peek(hierarchy.space, hierarchy.part(number, 0), 8) == 1
    with pytest.raises(UserError, match="program 0 is not attached to cgroup 0"):
        hierarchy.detach(number, 0)


def test_a_part_is_used_again() -> None:
    """Attach and detach go on for ever; who comes finds nothing of who was there."""
    hierarchy = stand((-1,))
    stays = hierarchy.attach(COUNTER, 0)
    for turn in range(600):
        number = hierarchy.attach(COUNTER, 0)
        assert hierarchy.grace_periods == turn, "its place may still be written to"
        assert hierarchy.part(number, 0) == hierarchy.part(stays, 0) + 16
        assert hierarchy.run(0) == (turn + 1) + 1
        hierarchy.detach(number, 0)
    assert hierarchy.buffer_bytes(0) == 64


def test_parts_fit_where_all_cgroups_have_room() -> None:
    """A gap below one cgroup is no gap for a program that runs for its sibling too."""
    hierarchy = stand((-1, 0, 0))
    one, two = hierarchy.attach(COUNTER, 1), hierarchy.attach(COUNTER, 2)
    wide = hierarchy.attach(COUNTER, 0)
    assert [int(hierarchy.table[n, 1]) for n in (one, two, wide)] == [0, 0, 16]
    hierarchy.detach(one, 1)
    above, below = hierarchy.attach(COUNTER, 0), hierarchy.attach(COUNTER, 1)
    assert [int(hierarchy.table[n, 1]) for n in (above, below)] == [32, 0]
    assert first_fit([(24, 40), (0, 13)], 8) == 16
    assert first_fit([(24, 40), (0, 13)], 16) == 40


def test_what_is_written_behind_the_copy_is_lost() -> None:
    """Two words a program; a packet after each: what the copy has passed, nobody counts."""
    moved = written_while_copied(4)
    assert moved.packets == 8
    assert moved.counts == 32
    # program i's count is copied as word 2 i: of the 8 packets, 2 i ran before
    assert moved.lost == sum(8 - 2 * i for i in range(4))


def test_limits() -> None:
    hierarchy = stand((-1,))
    for _ in range(64):
        hierarchy.attach(Program("empty", ()), 0)
    with pytest.raises(UserError, match="cgroup 0 runs 64 programs already"):
        hierarchy.attach(COUNTER, 0)
    with pytest.raises(UserError, match=r"cgroup = 7 is not allowed; allowed: 0\.\.0"):
        hierarchy.attach(COUNTER, 7)
    with pytest.raises(UserError, match=r"parents\[1\] = 1 is not allowed"):
        stand((-1, 1))
    with pytest.raises(UserError, match="a buffer of 16384 bytes for all programs"):
        stand((-1,)).attach(Program("large", (GetBuffer(16384),)), 0)


# --- what a packet pays ---


@pytest.mark.compiled
def test_packet_cost() -> None:
    frame = packet_cost("zen5-vm", n_cgroups=20, packets=50, replicates=1).set_index("way")
    assert list(frame.index) == [
        "no buffer", "worst", "pointer", "inlined", "cgroup-storage",
    ]  # fmt: skip
    assert (frame["ns"].drop("no buffer") >= frame.loc["no buffer", "ns"]).all()
    assert frame.loc["worst", "accesses"] - frame.loc["inlined", "accesses"] == 3
    assert list(frame["programs"]) == [1, 1, 1, 20, 1]
    same = packet_cost("zen5-vm", n_cgroups=20, packets=50, replicates=1).set_index("way")
    assert frame.equals(same)


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"ways": ["best"]}, "unknown way 'best'"),
        ({"n_cgroups": 0}, "n_cgroups = 0"),
        ({"n_programs": 65}, "n_programs = 65"),
        ({"program": Program("bad", (Load(0, 8),))}, "program bad: refused at instruction 0"),
    ],
)
def test_packet_cost_refuses(options: dict[str, Any], message: str) -> None:
    with pytest.raises(UserError, match=message):
        packet_cost("zen5-vm", **({"ways": ["worst"], "n_cgroups": 2} | options))


# --- mistakes ---


@pytest.fixture(scope="module")
def mistakes() -> Any:
    """What came of every mistake with some designs, by (design, misuse)."""
    names = (
        "hash-as-posted", "hash", "list", "table", "idr", "direct", "storage", "dmem", "v4"
    )  # fmt: skip
    return misuse(names).set_index(["design", "misuse"])


def test_every_mistake_is_made(mistakes: Any) -> None:
    assert set(mistakes.index.get_level_values("misuse")) == {m.name for m in MISUSES}
    assert set(mistakes["harm"]) <= set(HARMS)
    assert len(mistakes) == 9 * len(MISUSES)


@pytest.mark.parametrize(
    ("design", "misuse", "harm", "text"),
    [
        (AS_POSTED.name, "remove a neighbour", "wrong answer", "that nobody removed are gone"),
        ("hash", "remove a neighbour", "none", "all 32 others are found"),
        ("hash", "install twice", "none", "after one remove nothing"),
        ("list", "install twice", "surprise", "after one remove the first"),
        ("table", "install twice", "leak", "16 bytes never freed"),
        ("idr", "install twice", "none", "refused"),
        ("storage", "install twice", "none", "after one remove nothing"),
        ("hash", "look up in softirq", "cannot run", "it sleeps"),
        ("table", "look up in softirq", "none", "no locked instruction"),
        ("storage", "look up in softirq", "wrong answer", "6.12.117: NULL"),
        ("dmem", "look up in softirq", "none", "locked instructions on dmem_cgroup_pool_state"),
        ("dmem", "key of a dead device", "none", "went with it"),
        ("v4", "key of a dead device", "wrong answer", "the old one's id"),
        ("v4", "get during the last put", "use after free", "a reference to freed memory"),
        ("dmem", "get during the last put", "none", "NULL"),
        ("table", "get during the last put", "none", "takes no reference"),
        ("v4", "first key", "none", "1"),
        ("list", "key of a dead device", "wrong answer", "the old one's address"),
        ("idr", "key of a dead device", "wrong answer", "the old one's id"),
        ("storage", "key of a dead device", "none", "went with it"),
        ("list", "use after remove", "use after free", "under rcu_read_lock it is intact"),
        ("hash", "use after remove", "use after free", "with the mutex held"),
        ("direct", "use after remove", "none", "cleared"),
        ("direct", "ask for nothing", "wrong answer", "where no datum is"),
        ("idr", "first key", "surprise", "0"),
    ],
)
def test_what_comes_of_it(mistakes: Any, design: str, misuse: str, harm: str, text: str) -> None:
    row = mistakes.loc[(design, misuse)]
    assert row["harm"] == harm
    assert text in row["what_happened"]


def test_worst_harm(mistakes: Any) -> None:
    found = worst(mistakes.reset_index())
    assert found["direct"] == "wrong answer"
    assert found["hash-as-posted"] == "use after free"


def test_command_line(capsys: pytest.CaptureFixture[str]) -> None:
    words = ["misuse", "--design", "hash-as-posted", "--misuse", "remove a neighbour"]
    assert cli.main(words) == 0
    assert "wrong answer: " in capsys.readouterr().out
    assert cli.main([*words, "--json"]) == 0
    (row,) = json.loads(capsys.readouterr().out)["rows"]
    assert row["design"] == "hash-as-posted"
