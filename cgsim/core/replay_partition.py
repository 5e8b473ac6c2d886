"""Splitting a trace into shards that never meet, so that each is replayed on its own.

A line's sets at all levels, and its state in all caches, depend on nothing but the accesses to
lines of the same sets. With g a divisor of every level's number of sets, lines of different
residues modulo g never share a set, so the shards by residue are independent replays with sets / g
sets of lines line // g: on one host thread they stay in the host's own caches, and on several they
run side by side with the same counts.
"""

import numpy as np

from cgsim.core.jit import njit
from cgsim.core.raw import peek_i64, peek_u8, peek_u16, poke_i64, poke_u32

LINE_SHIFT = np.uint64(6)
LINE_MASK = (1 << 58) - 1

BLOCK_BYTES = 4096
BLOCK_ACCESSES = (BLOCK_BYTES - 8) // 4


@njit(error_model="numpy")
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


@njit(error_model="numpy")
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


@njit(error_model="numpy")
def line_range(address):
    """The lowest and the highest line of uint64 byte addresses."""
    lowest, highest = np.uint64(0xFFFFFFFFFFFFFFFF), np.uint64(0)
    for one in address:
        lowest = min(lowest, one)
        highest = max(highest, one)
    return lowest >> LINE_SHIFT, highest >> LINE_SHIFT


@njit(error_model="numpy")
def scatter_near(address, cpu, write, start, stop, first, shard_bits, cpu_bits, places, free):
    """Write each access of start:stop to its shard, the lowest bits of its line, in order.

    It becomes a uint32: `cpu_bits` bits of the CPU, the other bits of the line, and in bit 31
    whether it writes. A shard's accesses fill blocks of BLOCK_BYTES; the first 8 bytes of a full
    one that others follow are the next one's address. So little memory is touched, and densely.

    address    : int64   address of uint64[n], the byte addresses
    cpu, write : int64   address of uint16[n], of uint8[n]; 0: CPU 0, reads
    first      : int64   the line numbered 0
    places     : int64   address of int64[shards]: where the next one goes, at the start behind the
                         first 8 bytes of a block; advanced
    free       : int64   address of the other blocks, a multiple of BLOCK_BYTES, see `blocks_for`
    """
    shards = 1 << shard_bits
    for i in range(start, stop):
        line = (peek_i64(address + 8 * i) >> 6 & LINE_MASK) - first
        access = line >> shard_bits << cpu_bits
        if cpu != 0:
            access |= peek_u16(cpu + 2 * i)
        if write != 0:
            access |= (1 if peek_u8(write + i) != 0 else 0) << 31
        place = places + 8 * (line & shards - 1)
        to = peek_i64(place)
        if to & BLOCK_BYTES - 1 == 0:
            poke_i64(to - BLOCK_BYTES, free)
            to = free + 8
            free += BLOCK_BYTES
        poke_i64(place, to + 4)
        poke_u32(to, access)


def blocks_for(accesses, shards):
    """The blocks that `scatter_near` may need, with the first one of each shard."""
    return shards + -(-accesses // BLOCK_ACCESSES)


@njit(error_model="numpy")
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
