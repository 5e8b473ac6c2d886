"""The lookup designs, one file each.

A new design is one file of the shape of the others and one import here; see CONTRIBUTING.md.
"""

from cgsim.designs import (
    cgroup_storage,
    direct,
    hash_map,
    idr,
    index_table,
    list_walk,
    local_storage,
    pointer_hash,
    subsys_array,
    xarray,
)
from cgsim.designs.base import Design, add_design, get_design, list_designs

__all__ = [
    "Design",
    "add_design",
    "cgroup_storage",
    "direct",
    "get_design",
    "hash_map",
    "idr",
    "index_table",
    "list_designs",
    "list_walk",
    "local_storage",
    "pointer_hash",
    "subsys_array",
    "xarray",
]
