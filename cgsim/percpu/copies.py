"""Words that lie in a row, one for each CPU, thread or domain: what their layouts share.

Copy n stands `stride` bytes after copy n - 1, the first one at `base`.
"""

from cgsim.compile.jit import njit
from cgsim.core.space import join, load, peek, store, work


@njit
def read_copies(space, base, stride, slots):
    """Sum the words: three instructions for each besides the load, and a well predicted branch."""
    total = 0
    ready = 0
    for copy in range(slots):
        value, token = load(space, base + copy * stride, 8, 1)
        work(space, 3, 1)
        ready = join(space, ready, token)
        total += value
    return total


@njit
def peek_copies(space, base, stride, slots):
    """The sum of the words, without cost."""
    total = 0
    for copy in range(slots):
        total += peek(space, base + copy * stride, 8)
    return total


@njit
def reset_copies(space, base, stride, slots):
    """Write 0 to every word; updates in flight are lost, as in the kernel."""
    for copy in range(slots):
        store(space, base + copy * stride, 8, 0, 0, 0)
        work(space, 3, 1)
