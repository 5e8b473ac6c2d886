"""Draws follow their laws, by chi-square and by comparison with numpy's and scipy's."""

from __future__ import annotations

import numpy as np
import pytest
from scipy import stats

from cgsim.compile.jit import njit
from cgsim.workloads.draws import (
    EXPONENTIAL,
    bits_of,
    exponential,
    guide,
    invert,
    normal,
    stream_key,
    unit_of,
)
from cgsim.workloads.popularity import alias_table, draw, zipf_pmf

SEED = 20180313
# Chance that a right generator fails a test of a law with one seed; the seed is fixed.
TOO_UNLIKELY = 1e-4


@njit
def _exponentials(table, key, out):
    for i in range(out.size):
        out[i] = exponential(table, bits_of(key, i))


@njit
def _normals(key, out):
    for i in range(out.size):
        out[i] = normal(bits_of(key, i))


@njit
def _inverted(table, key, out):
    for i in range(out.size):
        out[i] = invert(table, unit_of(bits_of(key, i)))


def test_exponential_times_are_exponential() -> None:
    out = np.empty(400_000)
    _exponentials(EXPONENTIAL, stream_key(SEED, 5), out)
    assert stats.kstest(out, "expon").pvalue > TOO_UNLIKELY
    # the ziggurat's tail begins at 7.7: one in 2200
    assert (out > 7.7).sum() == pytest.approx(out.size * np.exp(-7.7), rel=0.25)
    assert out.max() > 10


def test_normal_variates_are_normal() -> None:
    out = np.empty(100_000)
    _normals(stream_key(SEED, 6), out)
    assert stats.kstest(out, "norm").pvalue > TOO_UNLIKELY


@pytest.mark.parametrize(("n", "exponent"), [(2, 0.0), (200, 0.8), (1000, 1.2), (64, 3)])
def test_inverted_draws_follow_the_law(n: int, exponent: float) -> None:
    pmf = zipf_pmf(n, exponent)
    table, _keep = guide(17 * pmf)
    out = np.empty(100_000, np.int64)
    _inverted(table, stream_key(SEED, 3), out)
    counts = np.bincount(out, minlength=n)
    likely = pmf * out.size > 5
    seen = np.append(counts[likely], counts[~likely].sum())
    wanted = np.append(pmf[likely], pmf[~likely].sum()) * out.size
    keep = wanted > 0
    assert stats.chisquare(seen[keep], wanted[keep]).pvalue > TOO_UNLIKELY


def test_like_numbers_give_like_ranks_under_like_laws() -> None:
    key = stream_key(SEED, 3)
    one, two = np.empty(10_000, np.int64), np.empty(10_000, np.int64)
    (table, _a), (other, _b) = guide(zipf_pmf(500, 1.0)), guide(zipf_pmf(510, 1.0))
    _inverted(table, key, one)
    _inverted(other, key, two)
    assert (two >= one).all()
    assert np.corrcoef(one, two)[0, 1] > 0.999


@pytest.mark.parametrize(("n", "exponent"), [(1, 1.0), (2, 0.0), (37, 1.0), (1000, 1.2), (64, 3)])
def test_the_alias_table_is_the_distribution(n: int, exponent: float) -> None:
    pmf = zipf_pmf(n, exponent)
    table = alias_table(pmf * 17)
    total = table.keep.copy()
    np.add.at(total, table.other, 1 - table.keep)
    np.testing.assert_allclose(total / n, pmf, rtol=1e-9)


def test_zipf_weights() -> None:
    np.testing.assert_allclose(zipf_pmf(3, 1), np.array([6, 3, 2]) / 11)
    np.testing.assert_allclose(zipf_pmf(4, 0), 0.25)


@pytest.mark.parametrize("exponent", [0.0, 0.8, 1.2])
def test_draws_follow_zipf(exponent: float) -> None:
    table = alias_table(zipf_pmf(200, exponent))
    draws = [draw(table, SEED, 3, i) for i in range(40_000)]
    counts = np.bincount(draws, minlength=200)
    assert stats.chisquare(counts, 40_000 * zipf_pmf(200, exponent)).pvalue > TOO_UNLIKELY
