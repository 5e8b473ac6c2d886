"""The lookup designs, one file each.

A new design is one file of the shape of the others and one import here; see CONTRIBUTING.md.
"""

# In the order in which people read about them: as the thread names them, then what came since.
# isort: off
from cgsim.designs import list_walk
from cgsim.designs import dmem
from cgsim.designs import pointer_hash
from cgsim.designs import idr
from cgsim.designs import xarray
from cgsim.designs import index_table
from cgsim.designs import direct
from cgsim.designs import cgroup_storage
from cgsim.designs import local_storage
from cgsim.designs import subsys_array
from cgsim.designs import blkg
from cgsim.designs import kref_tree
from cgsim.designs import hash_map
from cgsim.designs import array_map
from cgsim.designs import rhashtable
# isort: on

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
