"""The interface side of the question: what a driver's author programs against, and what goes wrong.

`exploring` tries every interleaving of each candidate's actors (`checker` is the explorer,
`protocols` and `interfaces` are what it explores). BPF's buffer as the thread proposes it:
`program` has the verifier's static checks, `attach` the allocation at attach, effective programs
and inlining, `cost` what a packet pays. Users' mistakes are made with each design by `misuse`, with
each interface by `catalogue`.
"""

from cgsim.interface.attach import PATHS, Attachments
from cgsim.interface.checker.schedule import lanes, step_table
from cgsim.interface.cost import WAYS, packet_cost
from cgsim.interface.exploring import explore
from cgsim.interface.misuse import HARMS, MISUSES, misuse
from cgsim.interface.program import (
    COUNTER,
    Add,
    GetBuffer,
    Load,
    Program,
    Store,
    Verdict,
    verify,
)

__all__ = [
    "COUNTER",
    "HARMS",
    "MISUSES",
    "PATHS",
    "WAYS",
    "Add",
    "Attachments",
    "GetBuffer",
    "Load",
    "Program",
    "Store",
    "Verdict",
    "explore",
    "lanes",
    "misuse",
    "packet_cost",
    "step_table",
    "verify",
]
