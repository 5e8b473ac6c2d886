"""What lookups take when their code is cold: a bound for what the engine leaves out.

It has no instruction cache and no branch targets. So a lookup alone is timed on this host with its
code warm, with its code in L2 alone (flushed, and read again as data), and with its code in memory;
data stay warm. Each has a retpoline and a jump before it, so that nothing of it is fetched early:
only differences count.
"""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
import pandas as pd

from cgsim.core.host_memory import address_of
from cgsim.errors import UserError
from cgsim.stage.loops import compiled_for
from cgsim.validation.host.instructions import PADDING_BYTES
from cgsim.validation.host.lookups import cold_alone
from cgsim.validation.host.timing import at_best, undisturbed_mean
from cgsim.validation.measure import Bench, stamp_ns

if TYPE_CHECKING:
    from collections.abc import Sequence

STATES = ("warm", "from L2", "from memory")
_REACH = 4 * PADDING_BYTES
_LOOKUPS = 200


def code_around(address: int) -> tuple[int, int]:
    """Where the mapped memory around an instruction begins and ends, `_REACH` far at most."""
    for line in Path("/proc/self/maps").read_text().splitlines():
        low, high = (int(part, 16) for part in line.split()[0].split("-"))
        if low <= address < high:
            return max(low, address - _REACH & ~63), min(high, address + _REACH & ~63)
    raise UserError(f"cold code: no mapped memory at {address:#x}")


def measure_cold_code(designs: Sequence[str], repeats: int = 25) -> pd.DataFrame:
    """Columns design, code ("warm", "from L2", "from memory"), ns (lower quartile).

    One cgroup, one key: all data are warm.
    """
    tick_ns, empty = stamp_ns()
    scratch = np.zeros(2 * _REACH // 8, dtype=np.int64)
    data = address_of(scratch)
    stamps = np.zeros(_LOOKUPS, dtype=np.int64)
    rows = []
    for name in designs:
        bench = Bench(name, 1, 1, 0, 1)
        loop = compiled_for(cold_alone, type(bench.population.parameters))
        lookups = (bench.population.native, *bench.what, bench.order[:_LOOKUPS])
        low, high = code_around(loop(*lookups, data, data, 0, stamps))
        states = ((data, data + high - low, 0), (low, high, 1), (low, high, 0))
        for code, state in zip(STATES, states, strict=True):

            def one(loop=loop, lookups=lookups, state=state) -> float:  # type: ignore[no-untyped-def]
                loop(*lookups, *state, stamps)
                return undisturbed_mean(stamps) * tick_ns

            one()
            ns = float(np.percentile(at_best(one, repeats), 25)) - empty * tick_ns
            rows.append({"design": name, "code": code, "ns": ns})
    return pd.DataFrame(rows)
