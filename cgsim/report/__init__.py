"""Presentation: notebooks run, pages, figures, mail. It knows no numba."""
