"""A plain Python replay, as slow and obvious as the definitions of `cgsim.replay` allow.

It has no directory, no shards and no packed rows: every copy is an entry of a dict in recency
order, and every question is asked of all caches.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Iterator, Sequence
from typing import NamedTuple


class RefLevel(NamedTuple):
    sets: int
    ways: int
    cpus_per_instance: int
    hashed: bool = False


class RefCache:
    """One instance: each set is a dict line -> dirty, least recently used first."""

    def __init__(self, level: RefLevel) -> None:
        self.ways = level.ways
        self.fold = (level.sets - 1).bit_length() if level.hashed and level.sets > 1 else 0
        self.rows: list[dict[int, bool]] = [{} for _ in range(level.sets)]

    def row(self, line: int) -> dict[int, bool]:
        if self.fold:
            line ^= ((line >> self.fold) ^ (line >> 2 * self.fold)) << 4
        return self.rows[line % len(self.rows)]

    def holds(self, line: int) -> bool:
        return line in self.row(line)

    def is_dirty(self, line: int) -> bool:
        return self.row(line).get(line, False)

    def set_dirty(self, line: int, dirty: bool) -> None:
        self.row(line)[line] = dirty

    def touch(self, line: int, dirty: bool) -> tuple[int, bool] | None:
        """Make the line the most recent one; returns the (line, dirty) that had to go."""
        row = self.row(line)
        was = row.pop(line, None)
        victim = None
        if was is None and len(row) == self.ways:
            oldest = next(iter(row))
            victim = (oldest, row.pop(oldest))
        row[line] = bool(was) or dirty
        return victim

    def remove(self, line: int) -> bool:
        """Take the line out; True if it was dirty."""
        return self.row(line).pop(line)

    def dirty_lines(self) -> Iterator[int]:
        """Set by set, the most recent first."""
        for row in self.rows:
            yield from [line for line, dirty in reversed(row.items()) if dirty]


class Reference:
    """The hierarchy and its counters: (level number, name) and ("all", name)."""

    def __init__(
        self, levels: Sequence[RefLevel], cpus: int, policy: str = "nine", traffic: bool = False
    ) -> None:
        self.levels, self.cpus, self.policy, self.traffic = levels, cpus, policy, traffic
        self.bottom = len(levels) - 1
        self.caches = [
            [RefCache(level) for _ in range(-(-cpus // level.cpus_per_instance))]
            for level in levels
        ]
        self.count: Counter[tuple[int | str, str]] = Counter()
        self.lost: dict[tuple[int, int], set[int]] = {}
        self.sharing: Counter[str] = Counter()
        self.false: Counter[tuple[int, int]] = Counter()

    def cache(self, level: int, cpu: int) -> RefCache:
        return self.caches[level][cpu // self.levels[level].cpus_per_instance]

    def serves(self, level: int, instance: int, cpu: int) -> bool:
        return cpu // self.levels[level].cpus_per_instance == instance

    def access(self, cpu: int, line: int, write: bool, words: Iterable[int] = ()) -> None:
        written = self.lost.pop((cpu, line), None)
        if written is not None:
            self.sharing["coherence_misses"] += 1
            if written.isdisjoint(words):
                self.sharing["false_sharing"] += 1
                self.false[line, cpu] += 1
        if write:
            self.invalidate(cpu, line)
            for (_, lost), others in self.lost.items():
                if lost == line:
                    others.update(words)
        elif not self.cache(0, cpu).holds(line):
            self.downgrade(cpu, line)
        elif self.policy != "victim":
            assert not self.dirty_elsewhere(cpu, line)
        hit = next(
            (n for n in range(len(self.levels)) if self.cache(n, cpu).holds(line)),
            len(self.levels),
        )
        for level in range(hit):
            self.count[level, "misses"] += 1
        if hit < len(self.levels):
            self.count[hit, "hits"] += 1
        moved_up = False
        last_filled = min(hit, self.bottom)
        if self.policy == "victim" and hit >= self.bottom:
            last_filled = self.bottom - 1
            if hit == self.bottom:
                moved_up = self.cache(self.bottom, cpu).remove(line)
        victims = []
        for level in range(last_filled + 1):
            dirty = (write and level == 0) or (moved_up and level == self.bottom - 1)
            victims.append(self.cache(level, cpu).touch(line, dirty))
        for level in range(last_filled, -1, -1):
            victim = victims[level]
            if victim is not None:
                self.evicted(cpu, level, *victim)

    def invalidate(self, cpu: int, line: int) -> None:
        own = [n for n in range(len(self.levels)) if self.cache(n, cpu).holds(line)]
        private_hit = bool(own) and self.levels[own[0]].cpus_per_instance == 1
        if self.policy == "victim" and own and own[0] == self.bottom:
            private_hit = False
        removed = False
        for level, caches in enumerate(self.caches):
            for instance, cache in enumerate(caches):
                if not self.serves(level, instance, cpu) and cache.holds(line):
                    cache.remove(line)
                    self.count[level, "invalidations"] += 1
                    removed = True
                    for loser in range(self.cpus):
                        if self.serves(level, instance, loser):
                            self.lost.setdefault((loser, line), set())
        if removed and private_hit:
            self.count["all", "upgrades"] += 1

    def dirty_elsewhere(self, cpu: int, line: int) -> bool:
        """True if a cache that does not serve the CPU holds the line dirty."""
        return any(
            cache.is_dirty(line) and not self.serves(level, instance, cpu)
            for level, caches in enumerate(self.caches)
            for instance, cache in enumerate(caches)
        )

    def downgrade(self, cpu: int, line: int) -> None:
        nearest = None
        for level, caches in enumerate(self.caches):
            for instance, cache in enumerate(caches):
                if self.serves(level, instance, cpu) or not cache.is_dirty(line):
                    continue
                cache.set_dirty(line, False)
                owner = instance * self.levels[level].cpus_per_instance
                common = [
                    n
                    for n in range(level + 1, len(self.levels))
                    if self.cache(n, cpu) is self.cache(n, owner)
                ]
                first = common[0] if common else len(self.levels)
                nearest = first if nearest is None else min(nearest, first)
        if nearest is None:
            return
        self.count["all", "downgrades"] += 1
        for level in range(nearest, len(self.levels)):
            if self.cache(level, cpu).holds(line):
                self.cache(level, cpu).set_dirty(line, True)
                return
        self.count["all", "writebacks"] += 1

    def evicted(self, cpu: int, level: int, line: int, dirty: bool) -> None:
        if dirty:
            self.count[level, "dirty_victims"] += 1
        if level == self.bottom:
            if self.policy == "inclusive":
                dirty |= self.back_invalidate(cpu, line)
            if dirty:
                self.count["all", "writebacks"] += 1
        elif self.policy == "victim" and level == self.bottom - 1:
            pushed = self.cache(self.bottom, cpu).touch(line, dirty)
            if pushed is not None:
                self.evicted(cpu, self.bottom, *pushed)
        elif dirty and self.traffic:
            self.write_back(cpu, level + 1, line)
        elif dirty:
            self.lower(cpu, level + 1, line)

    def back_invalidate(self, cpu: int, line: int) -> bool:
        dirty = False
        shared = self.levels[self.bottom].cpus_per_instance
        for level in range(self.bottom):
            step = self.levels[level].cpus_per_instance
            for instance, cache in enumerate(self.caches[level]):
                if instance * step // shared == cpu // shared and cache.holds(line):
                    dirty |= cache.remove(line)
                    self.count[level, "back_invalidations"] += 1
        return dirty

    def lower(self, cpu: int, level: int, line: int) -> None:
        for below in range(level, len(self.levels)):
            if self.cache(below, cpu).holds(line):
                self.cache(below, cpu).set_dirty(line, True)
                return
        self.count["all", "writebacks"] += 1

    def write_back(self, cpu: int, level: int, line: int) -> None:
        if level > self.bottom:
            self.count["all", "writebacks"] += 1
            return
        cache = self.cache(level, cpu)
        self.count[level, "writeback_hits" if cache.holds(line) else "writeback_misses"] += 1
        victim = cache.touch(line, True)
        if victim is not None and victim[1]:
            self.count[level, "dirty_victims"] += 1
            self.write_back(cpu, level + 1, victim[0])

    def flush(self) -> None:
        for level, caches in enumerate(self.caches):
            for instance, cache in enumerate(caches):
                cpu = instance * self.levels[level].cpus_per_instance
                for line in list(cache.dirty_lines()):
                    self.count[level, "dirty_victims"] += 1
                    if self.traffic:
                        self.write_back(cpu, level + 1, line)
                    else:
                        self.lower(cpu, level + 1, line)


def replay_reference(
    accesses: Iterable[tuple[int, int, bool]],
    levels: Sequence[RefLevel],
    cpus: int,
    policy: str = "nine",
    traffic: bool = False,
) -> Counter[tuple[int | str, str]]:
    """The counters after (CPU, line, write) accesses and the flush."""
    hierarchy = Reference(levels, cpus, policy, traffic)
    for cpu, line, write in accesses:
        hierarchy.access(cpu, line, write)
    hierarchy.flush()
    return hierarchy.count
