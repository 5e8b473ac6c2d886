"""The interface side of the question: BPF's buffer as the thread proposes it, and what goes wrong.

`program` has the verifier's static checks, `attach` the allocation at attach, effective programs
and inlining, `cost` what a packet pays, `misuse` what each design answers to its users' mistakes.
"""

from cgsim.interface.attach import PATHS, Attachments
from cgsim.interface.cost import WAYS, packet_cost
from cgsim.interface.misuse import HARMS, MISUSES, explore
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
    "packet_cost",
    "verify",
]
