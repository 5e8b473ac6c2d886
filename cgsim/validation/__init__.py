"""Predictions beside what was measured and published elsewhere."""
