"""netlink_tap_init_net: a caller of net_generic, inlined into it."""

from typing import NamedTuple

from cgsim.compile.jit import njit
from cgsim.core.calls import call_and_return
from cgsim.core.locks import Task, rcu_read_lock, rcu_read_unlock
from cgsim.core.space import load, store, work
from cgsim.designs.base import lookup
from cgsim.designs.index_table import IndexTable
from cgsim.scenarios.play import add_operation


class NetInit(NamedTuple):
    """Parameters: the table, addresses in bytes, instructions besides the parts it calls."""

    table: IndexTable
    net_id: int
    task: Task
    work: int


@njit
def net_init(space, parameters, owner, key, token, key_token):
    """Look the private data up under RCU and initialise a list head in it."""
    slot, slot_token = load(space, parameters.net_id, 4, 0)
    rcu_read_lock(space, parameters.task)
    data, data_token = lookup(space, parameters.table, owner, slot, token, slot_token)
    rcu_read_unlock(space, parameters.task)
    call_and_return(space)  # mutex_init, which the recording left out
    work(space, parameters.work, 0)
    store(space, data, 8, data, data_token, data_token)
    store(space, data + 8, 8, data, data_token, data_token)
    return data, data_token


add_operation(NetInit, net_init)
