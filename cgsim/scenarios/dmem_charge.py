"""dmem_cgroup_try_charge and its uncharge: a lookup that takes a reference, then page counters."""

from typing import NamedTuple

from cgsim.compile.jit import njit
from cgsim.core import references
from cgsim.core.calls import call_and_return
from cgsim.core.locks import Task, rcu_read_lock, rcu_read_unlock
from cgsim.core.space import atomic_add, load, store, work
from cgsim.designs.base import lookup
from cgsim.designs.dmem import Dmem
from cgsim.scenarios.counter_ops import PageCounter, page_counter_try_charge
from cgsim.scenarios.play import add_operation


class DmemCharge(NamedTuple):
    """Parameters of dmem_cgroup_try_charge: addresses and offsets in bytes.

    result : the caller's place for the pool. work, branches : instructions besides the parts that
    are called, and those of them that are conditional branches.
    """

    pools: Dmem
    counter: PageCounter
    task: Task
    guard: int
    result: int
    cgroups_offset: int  # from the task to its css_set
    subsys_offset: int  # in there
    flags_offset: int  # the two of the css
    reference_offset: int
    work: int
    branches: int


class DmemUncharge(NamedTuple):
    """Parameters of dmem_cgroup_uncharge: offsets in bytes, and counts as above, by level."""

    pools: Dmem
    counter: PageCounter
    task: Task
    flags_offset: int
    reference_offset: int
    work: int
    branches: int
    level_work: int
    level_branches: int


@njit
def dmem_charge(space, parameters, owner, key, token, key_token):
    """Charge one page to the running task's pool of region `key`; returns the pool's counter."""
    task = parameters.task
    work(space, parameters.work, parameters.branches)
    load(space, parameters.guard, 8, 0)
    store(space, parameters.result, 8, 0, 0, 0)
    current, current_token = load(space, task.current, 8, 0)
    rcu_read_lock(space, task)
    css_set, set_token = load(space, current + parameters.cgroups_offset, 8, current_token)
    css, css_token = load(space, css_set + parameters.subsys_offset, 8, set_token)
    load(space, css + parameters.flags_offset, 1, css_token)  # the root's css is not counted
    references.percpu_get(space, task, css + parameters.reference_offset, css_token)
    rcu_read_unlock(space, task)
    call_and_return(space)  # get_cg_pool_unlocked
    counter, counter_token = lookup(space, parameters.pools, css, key, css_token, key_token)
    call_and_return(space)  # page_counter_try_charge
    page_counter_try_charge(space, parameters.counter, counter, 1, counter_token, 0)
    store(space, parameters.result, 8, counter, 0, counter_token)
    load(space, parameters.guard, 8, 0)
    return counter, counter_token


@njit
def dmem_uncharge(space, parameters, owner, key, token, key_token):
    """Give back a page of the pool whose counter is `owner`, and the references to css and pool."""
    page = parameters.counter
    work(space, parameters.work, parameters.branches)
    call_and_return(space)  # page_counter_uncharge
    counter, counter_token = owner, token
    while counter != 0:
        work(space, parameters.level_work, parameters.level_branches)
        atomic_add(space, counter, 8, -1, counter_token)
        load(space, counter + page.protection_offset, 1, counter_token)
        counter, counter_token = load(space, counter + page.parent_offset, 8, counter_token)
    pool = owner - parameters.pools.datum_offset
    css, css_token = load(space, pool + parameters.pools.owner_offset, 8, token)
    load(space, css + parameters.flags_offset, 1, css_token)
    references.percpu_put(space, parameters.task, css + parameters.reference_offset, css_token)
    references.put(space, pool + parameters.pools.reference_offset, token)
    return pool, token


add_operation(DmemCharge, dmem_charge)
add_operation(DmemUncharge, dmem_uncharge)
