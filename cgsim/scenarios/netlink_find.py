"""__netlink_lookup and, around it in 6.12, netlink_lookup: a socket of a port in a namespace."""

from typing import NamedTuple

from cgsim.compile.jit import njit
from cgsim.core import references
from cgsim.core.locks import Task, rcu_read_lock, rcu_read_unlock
from cgsim.core.space import load, work
from cgsim.designs import rhashtable
from cgsim.scenarios.play import add_operation


class NetlinkFind(NamedTuple):
    """Parameters: the design, addresses and offsets in bytes.

    tables : simulated address of nl_table, 0 where the caller has the table already (7.3), which
    then takes no reference either. work, branches : what the outer function adds.
    """

    sockets: rhashtable.Rhashtable
    net: int
    tables: int
    guard: int
    task: Task
    reference_offset: int
    work: int
    branches: int


@njit
def netlink_find(space, parameters, owner, key, token, key_token):
    """The socket of port `key` in the table `owner` and the namespace."""
    sockets = parameters.sockets
    if parameters.tables == 0:
        return rhashtable.find(space, sockets, owner, parameters.net, key, token, 0)
    work(space, parameters.work, parameters.branches)
    load(space, parameters.guard, 8, 0)
    table, table_token = load(space, parameters.tables, 8, 0)
    rcu_read_lock(space, parameters.task)
    sock, sock_token = rhashtable.find(
        space, sockets, table, parameters.net, key, table_token, token
    )
    references.get(space, sock + parameters.reference_offset, sock_token)
    rcu_read_unlock(space, parameters.task)
    load(space, parameters.guard, 8, 0)
    return sock, sock_token


add_operation(NetlinkFind, netlink_find)
