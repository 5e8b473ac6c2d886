"""The reference is what the docstrings say now."""

from __future__ import annotations

from benchmarks import reference


def test_reference_is_current() -> None:
    """`python -m benchmarks.reference` writes it anew."""
    assert reference.TARGET.read_text() == reference.text()
