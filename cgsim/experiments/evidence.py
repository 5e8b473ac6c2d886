"""What is recorded of the code of a design's operations, so that a time can be believed or not."""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from cgsim.designs.base import Design

RECORDED, NOT_RECORDED = "recorded", "not recorded"

_INSTALLS, _REMOVES = ("first install", "install"), ("remove", "drop key")
_FUNCTIONS = {
    "idr": {**dict.fromkeys(_INSTALLS, "idr_alloc"), **dict.fromkeys(_REMOVES, "idr_remove")},
    "v4": {**dict.fromkeys(_INSTALLS, "idr_alloc"), "remove": "idr_remove"},
}


def evidence(design: Design, operation: str) -> str:
    """ "recorded: FUNCTION" where the operation's own function is, else "not recorded"."""
    function = _FUNCTIONS.get(design.name, {}).get(operation)
    return NOT_RECORDED if function is None else f"{RECORDED}: {function}"
