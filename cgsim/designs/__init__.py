"""The lookup designs, one file each.

A new design is one file of the shape of the others and one import here; see CONTRIBUTING.md.
"""

from cgsim.designs import (
    array_map,
    blkg,
    cgroup_storage,
    direct,
    dmem,
    hash_map,
    idr,
    index_table,
    kref_tree,
    list_walk,
    local_storage,
    pointer_hash,
    rhashtable,
    subsys_array,
    xarray,
)
from cgsim.designs.base import Design, add_design, get_design, list_designs

__all__ = [
    "Design",
    "add_design",
    "array_map",
    "blkg",
    "cgroup_storage",
    "direct",
    "dmem",
    "get_design",
    "hash_map",
    "idr",
    "index_table",
    "kref_tree",
    "list_designs",
    "list_walk",
    "local_storage",
    "pointer_hash",
    "rhashtable",
    "subsys_array",
    "xarray",
]
