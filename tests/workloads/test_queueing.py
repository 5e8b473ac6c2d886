"""The open loop against M/D/1 and M/G/1: Pollaczek and Khinchine's mean wait, Crommelin's law."""

from __future__ import annotations

import math

import numpy as np
import pytest

from cgsim.workloads.queueing import highest_rate, poisson_gaps, sojourns

GAPS = poisson_gaps(2_000_000, 7)


@pytest.mark.parametrize("load", [0.2, 0.5, 0.8])
def test_the_mean_wait_of_equal_packets_is_that_of_m_d_1(load: float) -> None:
    waits = sojourns(GAPS / load, np.ones(1)) - 1
    assert waits.mean() == pytest.approx(load / (2 * (1 - load)), rel=0.03)
    assert (waits == 0).mean() == pytest.approx(1 - load, abs=0.005)


def wait_cdf_m_d_1(load: float, t: float) -> float:
    """P(wait <= t) where each packet takes 1 (Crommelin 1932)."""
    total = sum(
        (load * (k - t)) ** k / math.factorial(k) * math.exp(-load * (k - t))
        for k in range(math.floor(t) + 1)
    )
    return (1 - load) * total


@pytest.mark.parametrize("t", [0.5, 1.0, 2.5, 4.0])
def test_waits_of_equal_packets_follow_crommelins_law(t: float) -> None:
    waits = sojourns(GAPS / 0.6, np.ones(1)) - 1
    assert (waits <= t + 1e-9).mean() == pytest.approx(wait_cdf_m_d_1(0.6, t), abs=0.004)


@pytest.mark.parametrize("load", [0.3, 0.7])
def test_the_mean_wait_of_unequal_packets_is_pollaczek_and_khinchines(load: float) -> None:
    services = np.random.default_rng(3).choice([0.2, 1.0, 5.0], size=999_983, p=[0.6, 0.3, 0.1])
    waits = sojourns(GAPS * services.mean() / load, services)
    waits -= np.resize(services, GAPS.size)
    rate = load / services.mean()
    wanted = rate * (services**2).mean() / (2 * (1 - load))
    assert waits.mean() == pytest.approx(wanted, rel=0.04)


@pytest.mark.compiled
def test_the_highest_rate_is_where_the_limit_is_met() -> None:
    services = np.ones(1)
    limit = 4.0

    def fits(found: np.ndarray) -> bool:
        return bool(np.quantile(found, 0.999) <= limit)

    rate = highest_rate(GAPS, services, fits)
    assert 0.2 < rate < 0.9
    # Crommelin's law at that load: 99.9 % wait no longer than the limit less the service
    assert wait_cdf_m_d_1(rate, limit - 1) == pytest.approx(0.999, abs=5e-4)
