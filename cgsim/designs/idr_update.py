"""idr_alloc and idr_remove, access for access: how an id comes into an idr and goes again.

Mirrors lib/idr.c and lib/radix-tree.c. Each node has a bit per slot that says whether a free id
lies below (the tag IDR_FREE); idr_alloc descends along those bits, idr_remove sets them again. The
caller holds the lock. Instruction counts are those recorded (data/kernel/traces.jsonl); what only a
tree that grows in height executes, and a node that is freed, was not recorded. `tree` is the
parameters of `cgsim.designs.idr`.
"""

from cgsim.compile.jit import njit
from cgsim.core.calls import call_and_return
from cgsim.core.heap import allocate, retire
from cgsim.core.space import add_in_place, compute, join, load, peek, poke, store, work

SHIFT, OFFSET, COUNT, NR_VALUES, PARENT, ARRAY, SLOTS, FREE = 0, 1, 2, 3, 8, 16, 40, 552
BITS, SLOT_MASK, LAST = 6, 63, 63
NODE_TAG, TAG_MASK = 2, 3
_IS_IDR = 4
_FLAGS, _FLAGS_TOP, _ROOT_FREE = 4, 7, 1  # of the root; the byte of its flags with the tag
_ALL = -1

# Instructions besides accesses, and branches, by kernel (7.3, 6.12). Of idr_alloc: the whole but
# for the rest; a level whose first bit is set; one whose next bit is sought; a new node; a look at
# a tree of one node, and at its single entry; the root's tag.
_ALLOC, _ALLOC_BRANCHES = (245, 208), (28, 22)
_LEVEL, _LEVEL_BRANCHES = (20, 18), (5, 4)
_SOUGHT, _SOUGHT_BRANCHES = (55, 40), (12, 8)
_NODE, _NODE_BRANCHES = (20, 20), (4, 4)
_ROOT, _ROOT_BRANCHES = (8, 8), (2, 2)
_SINGLE, _SINGLE_BRANCHES = (13, 13), (3, 3)
_FULL, _FULL_BRANCHES = (11, 9), (3, 2)
# of idr_remove: the whole but for its levels, and a level
_REMOVE, _REMOVE_BRANCHES = (143, 127), (16, 15)
_STEP, _STEP_BRANCHES = (17, 15), (4, 3)


@njit
def _bit(offset):
    """The word with one bit set; the last one is the sign."""
    return -0x8000000000000000 if offset == LAST else 1 << offset


@njit
def _next_bit(word, offset):
    """The first set bit from `offset` on, 64 if there is none."""
    while offset <= LAST and word >> offset & 1 == 0:
        offset += 1
    return offset


@njit
def _is_free(space, node, offset, token):
    """tag_get(IDR_FREE); returns (bit, token)."""
    word, word_token = load(space, node + FREE, 8, token)
    return word >> offset & 1, word_token


@njit
def _new_node(space, tree, shift, offset, parent, owner, token):
    """radix_tree_node_alloc, and all its ids free; returns (node or 0, token)."""
    load(space, tree.cachep, 8, 0)
    work(space, _NODE[tree.old], _NODE_BRANCHES[tree.old])
    if tree.spare != 0:  # a node that was put aside: its allocation is not looked at
        cursor = peek(space, tree.spare, 8)
        node, node_token = peek(space, cursor, 8), 0
        poke(space, tree.spare, 8, cursor + 8)
    else:
        node, node_token = allocate(space, tree.node_cache, token)
    if node == 0:
        return 0, node_token
    for field, size, value in (
        (SHIFT, 1, shift), (OFFSET, 1, offset), (COUNT, 1, 0), (NR_VALUES, 1, 0),
        (PARENT, 8, parent), (ARRAY, 8, owner), (FREE, 8, _ALL),
    ):  # fmt: skip
        store(space, node + field, size, value, node_token, 0)
    return node, node_token


@njit
def _extend(space, tree, owner, entry, shift, index, token):
    """radix_tree_extend: nodes on top until the index fits; returns (entry or 0, shift, token)."""
    highest = shift
    while index >> (highest + BITS) != 0:
        highest += BITS
    entry_token = token
    while entry != 0 and shift <= highest:
        node, node_token = _new_node(space, tree, shift, 0, 0, owner, token)
        if node == 0:
            return 0, 0, node_token
        flags, _ = load(space, owner + tree.root_offset + _FLAGS_TOP, 1, token)
        if flags & _ROOT_FREE == 0:
            add_in_place(space, node + FREE, 8, -1, node_token)
            store(space, owner + tree.root_offset + _FLAGS_TOP, 1, flags | _ROOT_FREE, token, 0)
        store(space, entry - NODE_TAG + PARENT, 8, node, entry_token, node_token)
        store(space, node + COUNT, 1, 1, node_token, 0)
        store(space, node + SLOTS, 8, entry, node_token, entry_token)
        entry, entry_token = node + NODE_TAG, node_token
        store(space, owner + tree.head_offset, 8, entry, token, entry_token)
        shift += BITS
    return entry, highest + BITS, entry_token


@njit
def _descend(space, tree, owner, start, last, token, base_token):
    """idr_get_free: the slot of the first free id of start..last.

    Ids behind a node that has none left are not looked for. Returns (node or 0, offset, id, token
    of the node, token of the slot's address).
    """
    old = tree.old
    entry, entry_token = load(space, owner + tree.head_offset, 8, token)
    shift = 0
    reach = 0
    node_token = 0
    start_token = base_token
    if entry & TAG_MASK == NODE_TAG:
        node_token = compute(space, entry_token, 1, 0, 0)
        top, top_token = load(space, entry - NODE_TAG + SHIFT, 1, node_token)
        shift = top + BITS
        reach = (1 << shift) - 1
        start_token = join(space, start_token, top_token)
    flags, flags_token = load(space, owner + tree.root_offset + _FLAGS_TOP, 1, token)
    start_token = join(space, start_token, flags_token)
    if flags & _ROOT_FREE == 0:
        start = max(start, reach + 1)
    if start > last:
        return 0, 0, 0, 0, 0
    if start > reach:
        tall, shift, tall_token = _extend(space, tree, owner, entry, shift, start, token)
        if entry != 0:
            if tall == 0:
                return 0, 0, 0, 0, 0
            entry, node_token = tall, tall_token
    if shift == 0:
        shift = BITS
    node, offset = 0, 0
    slot, slot_token = owner + tree.head_offset, token
    while shift > 0:
        shift -= BITS
        if entry == 0:
            child, child_token = _new_node(space, tree, shift, offset, node, owner, token)
            if child == 0:
                return 0, 0, 0, 0, 0
            store(space, slot, 8, child + NODE_TAG, slot_token, child_token)
            if node != 0:
                add_in_place(space, node + COUNT, 1, 1, node_token)
            entry, node_token = child + NODE_TAG, child_token
        node = entry - NODE_TAG
        own, own_token = load(space, node + SHIFT, 1, node_token)
        offset = start >> own & SLOT_MASK
        offset_token = join(space, start_token, own_token)
        slot = node + SLOTS + 8 * offset
        slot_token = join(space, node_token, offset_token)
        entry, entry_token = load(space, slot, 8, slot_token)
        free, _ = _is_free(space, node, offset, node_token)
        if free == 0:
            work(space, _SOUGHT[old], _SOUGHT_BRANCHES[old])
            word, word_token = load(space, node + FREE, 8, node_token)
            offset = _next_bit(word, offset + 1)
            offset_token = join(space, offset_token, word_token)
            own, next_token = load(space, node + SHIFT, 1, node_token)
            start = (start & ~((1 << (own + BITS)) - 1)) + (offset << own)
            start_token = join(space, join(space, start_token, next_token), offset_token)
            if start > last or offset > LAST:
                return 0, 0, 0, 0, 0
            slot = node + SLOTS + 8 * offset
            slot_token = join(space, node_token, offset_token)
            entry, entry_token = load(space, slot, 8, slot_token)
        else:
            work(space, _LEVEL[old], _LEVEL_BRANCHES[old])
        if shift > 0:
            node_token = compute(space, entry_token, 1, 0, 0)
    return node, offset, start, node_token, slot_token


@njit
def _replace(space, tree, owner, node, slot, value, amount, tokens):
    """replace_slot: what is noted of the node, then the slot itself."""
    node_token, slot_token, value_token = tokens
    load(space, tree.zero, 2, 0)
    count, count_token = load(space, node + COUNT, 2, node_token)
    store(space, node + COUNT, 2, count + amount, node_token, count_token)
    store(space, slot, 8, value, slot_token, value_token)
    load(space, node + COUNT, 1, node_token)
    return count + amount & 0xFF


@njit
def idr_init(space, tree, owner, token):
    """An idr without entries, all of whose ids are free."""
    store(space, owner + tree.root_offset + _FLAGS, 4, _ROOT_FREE << 24 | _IS_IDR, token, 0)


@njit
def idr_alloc(space, tree, owner, start, last, datum, token, datum_token):
    """Store a datum at the first free id of start..last; returns the id, -1 if there is none."""
    old = tree.old
    root = owner + tree.root_offset
    call_and_return(space)
    work(space, _ALLOC[old], _ALLOC_BRANCHES[old])
    load(space, tree.guard, 8, 0)
    if old == 0:
        load(space, root + _FLAGS, 4, token)
    base, base_token = load(space, owner + tree.base_offset, 4, token)
    load(space, tree.guard, 8, 0)
    if old != 0:
        load(space, root + _FLAGS, 4, token)
    node, offset, number, node_token, slot_token = _descend(
        space, tree, owner, start - base, last - base, token, base_token
    )
    if node == 0:
        return -1
    slot = node + SLOTS + 8 * offset
    load(space, node + SHIFT, 1, node_token)
    load(space, node + FREE, 8, slot_token)
    load(space, slot, 8, slot_token)
    load(space, root + _FLAGS, 4, token)
    load(space, node + FREE, 8, node_token)
    count = _replace(
        space, tree, owner, node, slot, datum, 1, (node_token, slot_token, datum_token)
    )
    entry, _ = load(space, owner + tree.head_offset, 8, token)
    if entry == node + NODE_TAG:
        work(space, _ROOT[old], _ROOT_BRANCHES[old])
        _, entry_token = load(space, owner + tree.head_offset, 8, token)
        load(space, node + COUNT, 1, entry_token)
        if count == 1:
            work(space, _SINGLE[old], _SINGLE_BRANCHES[old])
            first, _ = load(space, node + SLOTS, 8, entry_token)
            if first != 0:
                load(space, node + SHIFT, 1, entry_token)
                load(space, root + _FLAGS, 1, token)
    _clear_free(space, tree, root, node, offset, token, node_token)
    load(space, tree.guard, 8, 0)
    load(space, tree.guard, 8, 0)
    return base + number


@njit
def _clear_free(space, tree, root, node, offset, token, node_token):
    """node_tag_clear: no free id at a slot; up, where none is left in a node."""
    while node != 0:
        free, _ = _is_free(space, node, offset, node_token)
        if free == 0:
            return
        add_in_place(space, node + FREE, 8, -_bit(offset), node_token)
        word, _ = load(space, node + FREE, 8, node_token)
        if word != 0:
            return
        work(space, _FULL[tree.old], _FULL_BRANCHES[tree.old])
        offset, _ = load(space, node + OFFSET, 1, node_token)
        node, node_token = load(space, node + PARENT, 8, node_token)
    flags, flags_token = load(space, root + _FLAGS, 4, token)
    store(space, root + _FLAGS, 4, flags & ~(_ROOT_FREE << 24), token, flags_token)


@njit
def idr_remove(space, tree, owner, key, token):
    """Clear an id's slot; returns (what was there or 0, token)."""
    old = tree.old
    root = owner + tree.root_offset
    work(space, _REMOVE[old], _REMOVE_BRANCHES[old])
    call_and_return(space)
    base, base_token = load(space, owner + tree.base_offset, 4, token)
    load(space, tree.guard, 8, 0)
    entry, entry_token = load(space, owner + tree.head_offset, 8, token)
    if entry & TAG_MASK != NODE_TAG:
        return 0, entry_token
    index = key - base
    node_token = compute(space, entry_token, 1, 0, 0)
    top, _ = load(space, entry - NODE_TAG + SHIFT, 1, node_token)
    if index >> (top + BITS) != 0:
        return 0, node_token
    node, offset, slot, slot_token = 0, 0, 0, 0
    shift = 1
    while shift > 0 and entry != 0:
        work(space, _STEP[old], _STEP_BRANCHES[old])
        node = entry - NODE_TAG
        node_token = compute(space, entry_token, 1, 0, 0)
        shift, shift_token = load(space, node + SHIFT, 1, node_token)
        offset = index >> shift & SLOT_MASK
        slot = node + SLOTS + 8 * offset
        slot_token = join(space, join(space, base_token, node_token), shift_token)
        entry, entry_token = load(space, slot, 8, slot_token)
    if entry == 0:
        return 0, entry_token
    load(space, root + _FLAGS, 4, token)
    load(space, slot, 8, slot_token)
    _set_free(space, root, node, offset, token, node_token)
    left = _replace(space, tree, owner, node, slot, 0, -1, (node_token, slot_token, 0))
    while left == 0:
        parent, parent_token = load(space, node + PARENT, 8, node_token)
        offset, _ = load(space, node + OFFSET, 1, node_token)
        retire(space, tree.node_cache, node, node_token)
        if parent == 0:
            store(space, owner + tree.head_offset, 8, 0, token, 0)
            load(space, tree.guard, 8, 0)
            return entry, entry_token
        store(space, parent + SLOTS + 8 * offset, 8, 0, parent_token, 0)
        left = add_in_place(space, parent + COUNT, 1, -1, parent_token)[0] & 0xFF
        node, node_token = parent, parent_token
    load(space, owner + tree.head_offset, 8, token)
    load(space, tree.guard, 8, 0)
    return entry, entry_token


@njit
def _set_free(space, root, node, offset, token, node_token):
    """node_tag_set: a free id at a slot; up, until a node had one already."""
    while node != 0:
        free, _ = _is_free(space, node, offset, node_token)
        if free != 0:
            return
        add_in_place(space, node + FREE, 8, _bit(offset), node_token)
        offset, _ = load(space, node + OFFSET, 1, node_token)
        node, node_token = load(space, node + PARENT, 8, node_token)
    flags, _ = load(space, root + _FLAGS_TOP, 1, token)
    if flags & _ROOT_FREE == 0:
        store(space, root + _FLAGS_TOP, 1, flags | _ROOT_FREE, token, 0)
