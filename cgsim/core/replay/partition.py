"""Splitting a trace into shards that never meet, so that each is replayed on its own.

A line's sets at all levels, and its state in all caches, depend on nothing but the accesses to
lines of the same sets. With g a divisor of every level's number of sets, lines of different
residues modulo g never share a set, so the shards by residue are independent replays with sets / g
sets of lines line // g: on one host thread they stay in the host's own caches, and on several they
run side by side with the same counts.
"""

import numpy as np

from cgsim.compile.intrinsics import peek_i64, poke_i64, poke_u32
from cgsim.compile.jit import njit
from cgsim.core.replay.lru_vector import prefetch, prefetch_to_read

LINE_SHIFT = np.uint64(6)
LINE_MASK = (1 << 58) - 1

BLOCK_BYTES = 4096
BLOCK_ACCESSES = (BLOCK_BYTES - 8) // 4
BATCH = 512  # accesses that are divided into shards before they are moved there


@njit
def count_shards(address, start, stop, shards, counts):
    """Count the accesses of each shard in address[start:stop]; returns (lowest, highest) line.

    address : uint64[n]       byte addresses
    counts  : int64[shards]   added to
    """
    lowest, highest = np.uint64(0xFFFFFFFFFFFFFFFF), np.uint64(0)
    divisor = np.uint64(shards)
    low = divisor - np.uint64(1)
    power = shards & (shards - 1) == 0
    for i in range(start, stop):
        line = address[i] >> LINE_SHIFT
        lowest = min(lowest, line)
        highest = max(highest, line)
        counts[np.int64(line & low) if power else np.int64(line % divisor)] += 1
    return lowest, highest


@njit
def scatter(
    address, cpu, cpu_step, write, write_step, words, words_step, start, stop, first, shards, places
):
    """Write a record of each access of address[start:stop] to its shard, in order.

    A record is an int64: the line number (line - first) // shards in bits 0..31, 1 in bit 32 if the
    access writes, the CPU from bit 33 on, and the words touched from WORDS_BIT on.

    cpu, write, words : uint16[n], uint8[n], uint8[n] with step 1, or of one element with step 0
    first      : uint64          the line that becomes 0, a multiple of shards
    places     : int64           address of int64[shards]: where the next record goes; advanced
    """
    divisor = np.uint64(shards)
    if shards & (shards - 1) == 0:
        low = divisor - np.uint64(1)
        bits = np.uint64(0)
        while (np.uint64(1) << bits) < divisor:
            bits += np.uint64(1)
        for i in range(start, stop):
            line = (address[i] >> LINE_SHIFT) - first
            who = 2 * np.int64(cpu[i * cpu_step]) + (1 if write[i * write_step] != 0 else 0)
            who |= np.int64(words[i * words_step]) << 17
            place = places + 8 * np.int64(line & low)
            to = peek_i64(place)
            poke_i64(place, to + 8)
            poke_i64(to, np.int64(line >> bits) | who << 32)
    else:
        for i in range(start, stop):
            line = (address[i] >> LINE_SHIFT) - first
            who = 2 * np.int64(cpu[i * cpu_step]) + (1 if write[i * write_step] != 0 else 0)
            who |= np.int64(words[i * words_step]) << 17
            place = places + 8 * np.int64(line % divisor)
            to = peek_i64(place)
            poke_i64(place, to + 8)
            poke_i64(to, np.int64(line // divisor) | who << 32)


@njit
def line_range(address):
    """The lowest and the highest line of uint64 byte addresses."""
    lowest, highest = np.uint64(0xFFFFFFFFFFFFFFFF), np.uint64(0)
    for one in address:
        lowest = min(lowest, one)
        highest = max(highest, one)
    return lowest >> LINE_SHIFT, highest >> LINE_SHIFT


@njit
def scatter_near(
    address, cpu, write, words, start, stop, first, window_bits, shard_bits, cpu_bits, room
):
    """Write each access of start:stop to its shard, the lowest bits of its line, in order.

    It becomes a uint32: `cpu_bits` bits of the CPU, the other bits of the line, and in bit 31
    whether it writes; if words are given, they follow as another one. A shard's accesses fill
    blocks of BLOCK_BYTES; the first 8 bytes of a full one that others follow are the next one's
    address. So little memory is touched, and densely.

    address    : uint64[n]    byte addresses
    cpu, write : uint16[n], uint8[n]
    words      : uint8[n], or empty
    first      : int64        the line numbered 0
    room       : int64        address of `room_bytes`, a multiple of BLOCK_BYTES; overwritten:
                              int64[shards], where each shard's accesses end, and from the next
                              block on the first block of each shard, then the others

    Returns the least and the greatest number of a line within its shard; (0, -1) at once if a line
    is not among the 2**window_bits from `first` on.
    """
    shards = 1 << shard_bits
    free = room + BLOCK_BYTES * (shards + 1)
    for shard in range(shards):
        poke_i64(room + 8 * shard, room + BLOCK_BYTES * (shard + 1) + 8)
    accesses, places = np.empty(BATCH, np.uint32), np.empty(BATCH, np.uint16)
    lowest, highest = LINE_MASK, 0
    for begin in range(start, stop, BATCH):
        end = min(begin + BATCH, stop)
        low, high = _divide(
            address[begin:end],
            cpu[begin:end],
            write[begin:end],
            first,
            window_bits,
            shard_bits,
            cpu_bits,
            accesses,
            places,
        )
        if high < 0:
            return 0, -1
        lowest, highest = min(lowest, low), max(highest, high)
        following = address.ctypes.data + 8 * end, cpu.ctypes.data + 2 * end
        free = _append(accesses[: end - begin], words[begin:end], places, room, free, following)
    return lowest, highest


@njit
def _divide(address, cpu, write, first, window_bits, shard_bits, cpu_bits, accesses, places):
    """The accesses of `scatter_near`, and where the ends of their shards stand.

    Returns the least and the greatest line of a shard; the greatest is -1 if one is outside.
    """
    low_bits = (1 << shard_bits) - 1
    lowest, highest, outside = LINE_MASK, 0, 0
    for i in range(address.size):
        line = np.int64(address[i] >> LINE_SHIFT) - first
        near = line >> shard_bits
        outside |= line >> window_bits
        lowest = min(lowest, near)
        highest = max(highest, near)
        access = near << cpu_bits | np.int64(cpu[i]) | np.int64(write[i] != 0) << 31
        accesses[i] = np.uint32(access & 0xFFFFFFFF)
        places[i] = np.uint16(8 * (line & low_bits))
    return lowest, highest if outside == 0 else -1


@njit
def _append(accesses, words, places, room, free, following):
    """Write accesses behind those of their shards; returns where the next free block lies.

    following : (int64, int64)  addresses of the uint64 and of the uint16 that are read next

    The host does not foresee where a shard goes on, and forgets where the trace does.
    """
    access_bytes = 8 if words.size != 0 else 4
    for i in range(accesses.size):
        prefetch_to_read(following[0] + 8 * i)
        prefetch_to_read(following[1] + 2 * i)
        place = room + np.int64(places[i])
        to = peek_i64(place)
        if to & BLOCK_BYTES - 1 == 0:
            poke_i64(to - BLOCK_BYTES, free)
            to = free + 8
            free += BLOCK_BYTES
        prefetch(to + 64)
        poke_i64(place, to + access_bytes)
        poke_u32(to, np.int64(accesses[i]))
        if words.size != 0:
            poke_u32(to + 4, np.int64(words[i]))
    return free


def room_bytes(accesses, shards, words):
    """The memory that `scatter_near` may need, with words or without."""
    in_block = BLOCK_ACCESSES // 2 if words else BLOCK_ACCESSES
    return BLOCK_BYTES * (1 + shards + -(-accesses // in_block))


@njit
def compact_chunks(address, chunk_lines, keys, numbers, out):
    """Renumber the chunks of lines that occur, in order of first use; returns how many.

    An address outside the window gets a smaller one with the same line modulo `chunk_lines`, which
    is a multiple of every level's number of sets, so it falls into the same sets.

    address     : uint64[n]
    chunk_lines : uint64       lines in a chunk
    keys        : uint64[2**k]  scratch
    numbers     : int64[2**k]   scratch, -1 at the start: the chunk's number at keys[slot]
    out         : uint64[n]     overwritten: byte addresses

    Returns -1 when the chunks fill more than half of the table.
    """
    mask = np.uint64(keys.size - 1)
    used = 0
    last_chunk, last_number = np.uint64(0xFFFFFFFFFFFFFFFF), np.uint64(0)
    offset_mask = np.uint64(63)
    for i in range(address.size):
        line = address[i] >> LINE_SHIFT
        chunk = line // chunk_lines
        if chunk != last_chunk:
            folded = (chunk ^ chunk >> np.uint64(32)) & np.uint64(0xFFFFFFFF)
            slot = (folded * np.uint64(0x9E3779B1)) >> np.uint64(14) & mask
            while numbers[np.int64(slot)] >= 0 and keys[np.int64(slot)] != chunk:
                slot = (slot + np.uint64(1)) & mask
            if numbers[np.int64(slot)] < 0:
                if 2 * used >= keys.size:
                    return -1
                keys[np.int64(slot)] = chunk
                numbers[np.int64(slot)] = used
                used += 1
            last_chunk, last_number = chunk, np.uint64(numbers[np.int64(slot)])
        within = line - chunk * chunk_lines
        renumbered = last_number * chunk_lines + within
        out[i] = renumbered << LINE_SHIFT | address[i] & offset_mask
    return used
