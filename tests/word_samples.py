"""Functions of words, one or more for each construct, for `tests/test_words.py`.

Each takes and returns int64. Those of `SMALL` have small arguments, so that nothing overflows;
those of `LARGE` any.
"""

from cgsim.compile.intrinsics import wrapping_product, wrapping_sum
from cgsim.compile.jit import inlined, internal
from cgsim.core import block_fields
from cgsim.core.block_fields import TICKS
from cgsim.core.recency import NAME_MASK

_FLAG = True
_LOWEST = -(1 << 63)


def bits(a, b, c):
    return (a & b | c ^ NAME_MASK) & ~a ^ -1


def arithmetic(a, b, c):
    return a * b - c + (TICKS - a) * -b - block_fields.WORK


def shifts(a, b, c):
    return (a >> (b & 63)) + (c >> 5) + (a << 3) + (1 << (c & 31))


def large_shifts(a, b, c):
    return a >> (b & 63) ^ c >> 5 ^ a << 3 ^ 1 << (c & 62)


def floor_division(a, b, c):
    return a // (b | 1) ^ c // 62 ^ a // -7 ^ a // 64


def modulo(a, b, c):
    return a % (b | 1) ^ c % 62 ^ a % -7 ^ a % 64


def constants_are_folded(a, b, c):
    return a + (-7 // 2) + (-7 % 3) + (1 << 40) * 2 - (-5 >> 1) + (6 ^ 3 & ~1) - -b + c


def comparisons(a, b, c):
    return (a < b) + 2 * (a <= c) + 4 * (b > c) + 8 * (a >= b) + 16 * (a == c) + 32 * (b != c)


def chained_comparison(a, b, c):
    if 0 < a < b <= c:
        return 1
    return 2 if a != b != c else 3


def truths_are_words(a, b, c):
    both = (a < b) & (b < c)
    either = (a < b) | (b < c)
    one = (a < b) ^ (b < c)
    return both + 2 * either + 4 * one + (a < c) * b + ((a > 0) & 3) + (one == (c > 0))


def and_or(a, b, c):
    found = (a > 0 and b > 0) or not c > 0
    if (a and b) or not c:
        return found + 2
    return 5 if (a or b) and c else 6 + found


def negations(a, b, c):
    nothing = not a
    return -b + ~c if nothing else -(~a) + (not (b < c))


def conditional(a, b, c):
    return (a if b else c) + (1 if a > b else 2 if b > c else 3)


def extremes(a, b, c):
    return min(a, b, c) - max(a, b) // 2 + max(min(a, c), 0)


def branches(a, b, c):
    if a > b:
        d = 1
    elif b > c:
        d = 2
    else:
        d = 3
        a = c
    if _FLAG:
        a += d
    return a - d


def early_returns(a, b, c):
    if a > b:
        if b > c:
            return 1
        else:
            return 2
    elif c > a:
        pass
    else:
        return 3
    return a


def augmented(a, b, c):
    a += b
    a -= c * 3
    a ^= b
    a |= 5
    a &= ~9
    a >>= 2
    a *= 3
    a //= 5
    a %= 1000003
    a <<= 2
    return a


def for_loops(a, b, c):
    total = 0
    for i in range(a & 7):
        total += i * b
    for i in range(b & 3, c & 15):
        total ^= i + a
    for i in range(a & 15, -1, -1):
        total += i
        i = 99
    for i in range(5, 2):
        total = i
    return total


def range_is_evaluated_once(a, b, c):
    end = a & 15
    count = 0
    for i in range(end):
        end = b
        count += i + 1
    return count + (end & 1)


def name_of_a_loop_keeps_its_last_value(a, b, c):
    i = c
    for i in range(a & 7):  # noqa: B007
        pass
    return i


def while_loops(a, b, c):
    left = a & 31
    total = b
    while left > 0 and total != 7:
        left -= 1
        if left & 3 == 1:
            continue
        total += left
        if total & 127 == 5:
            break
    return total


def endless_loop(a, b, c):
    steps = 0
    while True:
        a = (a >> 1) ^ (b & 1)
        steps += 1
        if steps > 20:
            break
        if a == 0:
            return steps
    return steps + c


def loop_left_by_return_only(a, b, c):
    number = a & 255
    while True:
        if number < 2:
            return number + b
        number = number // 2 if number & 1 == 0 else number - 1


def nested_loops(a, b, c):
    total = 0
    for i in range(a & 7):
        for j in range(i, b & 7):
            if j == c & 7:
                break
            if (i ^ j) & 1:
                continue
            total += i * 10 + j
    return total


def tuples(a, b, c):
    a, b = b, a
    d, e, f = c + a, a, b
    return d - 2 * e + 3 * f


@internal
def _two(a, truth):
    if truth:
        return a, a > 5
    return -a, False


@inlined
def _nothing(a):
    if a > 3:
        return
    _two(a, False)


@internal
def _of_word_or_truth(value):
    return 10 if value else 20


def calls(a, b, c):
    d, large = _two(a, b > c)
    _nothing(d)
    e = _two(b, True)[0]
    if large:
        return d + e + _of_word_or_truth(c) + _of_word_or_truth(c > 1)
    return d - e


def constants(a, b, c):
    return _LOWEST // 3 + (a if _FLAG else b) + c * True


SMALL = [
    value
    for name, value in list(globals().items())
    if getattr(value, "__module__", "") == __name__ and not name.startswith("_")
]


def division_without_an_answer(a, b, c):
    return a // b ^ 3 & (a % b) ^ c // (b & 1) ^ c % (b & 1) ^ (a | _LOWEST) // -1


def division_of_the_lowest(a, b, c):
    return _LOWEST // (a | -1) ^ _LOWEST % (b | -1) ^ (c & _LOWEST) // (c | -1)


def wrapping_operations(a, b, c):
    return wrapping_product(a, b) ^ wrapping_sum(wrapping_product(b, c), a)


LARGE = [
    bits,
    large_shifts,
    floor_division,
    modulo,
    comparisons,
    chained_comparison,
    and_or,
    conditional,
    early_returns,
    division_without_an_answer,
    division_of_the_lowest,
    wrapping_operations,
]


def wrapping(a, b, c):
    return a * b + (c << 7) - a * 3 + -b
