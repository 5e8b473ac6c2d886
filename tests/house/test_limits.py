"""The one check of ranges: what is refused, and in which words."""

from __future__ import annotations

import math

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from cgsim.errors import UserError
from cgsim.limits import Range, check_choice, check_common, check_switches


@given(st.integers(-(10**6), 10**6))
def test_whole_numbers(value: int) -> None:
    """A whole number within the range comes back as int, numpy's too; another is refused."""
    limits = Range(-5, 10**4)
    for given_value in (value, np.int64(value)):
        if -5 <= value <= 10**4:
            assert type(limits.check("here", "n", given_value)) is int
        else:
            with pytest.raises(UserError, match=r"here: n = .* a whole number of -5\.\.10000"):
                limits.check("here", "n", given_value)


@pytest.mark.parametrize("value", [True, np.True_, 2.0, "3", None, math.nan, [1]])
def test_no_whole_number(value: object) -> None:
    """What only looks like a whole number is refused."""
    with pytest.raises(UserError, match="n = "):
        Range(0, 9).check("here", "n", value)


@pytest.mark.parametrize("value", [math.nan, math.inf, True, "1", None])
def test_no_number(value: object) -> None:
    """Numbers of a range are finite and no truths."""
    with pytest.raises(UserError, match=r"a number of 0\.\.0\.5"):
        Range(0, 0.5, whole=False).check("here", "share", value)


def test_common_names_its_bounds() -> None:
    """The message has the place, the parameter, the value and what is allowed."""
    check_common("simulate", threads=1024, seed=1 << 62)
    with pytest.raises(UserError) as caught:
        check_common("simulate", threads=0)
    assert str(caught.value) == (
        "simulate: threads = 0 is not allowed; allowed: a whole number of 1..1024"
    )


def test_switches_and_choices() -> None:
    """Truths are Python's or numpy's; choices are names."""
    check_switches("here", aged=np.False_, other=True)
    check_choice("here", "mode", "a", ["a", "b"])
    with pytest.raises(UserError, match="true or false"):
        check_switches("here", aged=1)
    for value in ("c", None, 1):
        with pytest.raises(UserError, match="allowed: a or b"):
            check_choice("here", "mode", value, ["a", "b"])
