"""The engine: numba, numpy arrays, integers. It knows no pandas, no files and no plots."""
