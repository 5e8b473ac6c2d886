"""Studies: grids and samples of points, where they run, the store of their results."""
