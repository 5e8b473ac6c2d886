"""Replicates of a point, on as many host threads as asked for: the frame is the same."""

from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor
from itertools import chain
from typing import TYPE_CHECKING, Any

import pandas as pd

if TYPE_CHECKING:
    from collections.abc import Callable


def run_replicates(
    one: Callable[[int], list[dict[str, Any]]], replicates: int, threads: int
) -> pd.DataFrame:
    """The rows of `one(0)`, `one(1)`, ... in this order.

    The engine's functions release the GIL, so threads of one process do.
    """
    if threads == 1 or replicates == 1:
        return pd.DataFrame(list(chain.from_iterable(map(one, range(replicates)))))
    with ThreadPoolExecutor(max_workers=threads) as pool:
        return pd.DataFrame(list(chain.from_iterable(pool.map(one, range(replicates)))))
