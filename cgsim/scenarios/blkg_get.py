"""bio_associate_blkg_from_css: find a block cgroup's blkg of a device, and take a reference."""

from typing import NamedTuple

from cgsim.compile.jit import njit
from cgsim.core import references
from cgsim.core.locks import Task, rcu_read_lock, rcu_read_unlock
from cgsim.core.space import load, store, work
from cgsim.designs import blkg
from cgsim.scenarios.play import add_operation


class BlkgGet(NamedTuple):
    """Parameters: the design, addresses and offsets in bytes.

    gendisk_offset : -1 where the block device points to its queue itself (7.3). work, branches :
    instructions besides the lookup and the RCU calls, and conditional branches among them.
    """

    blkgs: blkg.Blkg
    task: Task
    bio: int
    blkg_offset: int  # the two of the bio
    device_offset: int
    queue_offset: int  # of the block device, to its queue or to its disk
    gendisk_offset: int  # of the disk, to its queue
    parent_offset: int  # of the css
    work: int
    branches: int


@njit
def _queue(space, parameters):
    device, token = load(space, parameters.bio + parameters.device_offset, 8, 0)
    queue, token = load(space, device + parameters.queue_offset, 8, token)
    if parameters.gendisk_offset >= 0:
        queue, token = load(space, queue + parameters.gendisk_offset, 8, token)
    return queue, token


@njit
def blkg_get(space, parameters, owner, key, token, key_token):
    """Associate a bio with the blkg of (block cgroup `owner`, the bio's device)."""
    work(space, parameters.work, parameters.branches)
    load(space, parameters.bio + parameters.blkg_offset, 8, 0)
    queue, queue_token = 0, 0
    if parameters.gendisk_offset < 0:
        queue, queue_token = _queue(space, parameters)
    load(space, owner + parameters.parent_offset, 8, token)
    rcu_read_lock(space, parameters.task)
    if parameters.gendisk_offset >= 0:
        queue, queue_token = _queue(space, parameters)
    found, found_token = blkg.find(space, parameters.blkgs, owner, queue, token, queue_token)
    reference = found + parameters.blkgs.reference_offset
    references.percpu_get(space, parameters.task, reference, found_token)
    rcu_read_unlock(space, parameters.task)
    store(space, parameters.bio + parameters.blkg_offset, 8, found, 0, found_token)
    return found, found_token


add_operation(BlkgGet, blkg_get)
