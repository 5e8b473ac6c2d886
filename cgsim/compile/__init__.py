"""How functions are compiled and cached; knows numba, and no machine."""
