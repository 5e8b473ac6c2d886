"""Reference counts as their fast paths touch memory: refcount_t and percpu_ref.

Calls and branches around them are counted by their users, since the compiler inlines these.
"""

from cgsim.compile.jit import njit
from cgsim.core.locks import rcu_read_lock, rcu_read_unlock
from cgsim.core.space import add_in_place, atomic_add, compare_exchange, load


@njit
def get_unless_zero(space, count, token):
    """refcount_inc_not_zero of the 4-byte count at `count`: a read, then a locked exchange.

    Returns False if the count was 0: the object is on its way out.
    """
    references, _ = load(space, count, 4, token)
    if references == 0:
        return False
    compare_exchange(space, count, 4, references, references + 1, token)
    return True


@njit
def get(space, count, token):
    """refcount_inc of a count that cannot be 0: one locked addition."""
    atomic_add(space, count, 4, 1, token)


@njit
def put(space, count, token):
    """refcount_dec_and_test: one locked addition; True if that was the last reference."""
    references, _ = atomic_add(space, count, 4, -1, token)
    return references == 1


@njit
def percpu_get(space, task, pointer, token):
    """percpu_ref_tryget in percpu mode, under rcu_read_lock of its own.

    pointer : address of `percpu_count_ptr`, which holds the address of this CPU's count.
    """
    rcu_read_lock(space, task)
    count, count_token = load(space, pointer, 8, token)
    add_in_place(space, count, 8, 1, count_token)
    rcu_read_unlock(space, task)


@njit
def percpu_put(space, task, pointer, token):
    """percpu_ref_put in percpu mode, under rcu_read_lock of its own."""
    rcu_read_lock(space, task)
    count, count_token = load(space, pointer, 8, token)
    add_in_place(space, count, 8, -1, count_token)
    rcu_read_unlock(space, task)
