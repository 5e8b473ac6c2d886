"""A profile in the making: the values of another one, replaced one by one by what was measured."""

from __future__ import annotations

import copy
import datetime
import platform
from typing import Any

from cgsim.errors import UserError
from cgsim.machines.host import host_machine

MEASURED = "measured"
DISTANCES = ("same_core", "same_cluster", "same_socket", "other_socket", "far_socket")


class Profile:
    """A document whose values are replaced one by one, as long as it stays a valid profile."""

    def __init__(self, document: dict[str, Any]) -> None:
        now = datetime.datetime.now(datetime.UTC).date().isoformat()
        self.document = document
        self.document["sources"][MEASURED] = (
            f"cgsim calibrate on {now}, {platform.system()} {platform.release()}"
        )
        self.kept: dict[str, str] = {}
        self.taken = 0

    def put(self, field: str, value: float | str | None, unit: str, detail: str) -> None:
        """Take a measured value; keep what is there, and say why, if it makes no valid profile."""
        if isinstance(value, float):
            value = float(f"{value:.3g}")
        candidate = copy.deepcopy(self.document)
        section, key = self._find(candidate, field)
        section[key] = {"value": value, "unit": unit, "source": f"{MEASURED}; {detail}"}
        try:
            host_machine(candidate)
        except UserError as error:
            reason = str(error).partition(": ")[2] or str(error)
            self.keep(field, f"measured {value} {unit}, but {reason}")
            return
        self.document = candidate
        self.taken += 1

    def keep(self, field: str, reason: str) -> None:
        """Say of a value that it could not be measured."""
        section, key = self._find(self.document, field)
        if "unverified" in section[key]:
            section[key]["unverified"] += f" ({reason})"
        self.kept[field] = reason

    def raise_farther(self, group: str, distance: str) -> None:
        """What lies farther than a measured distance is not quicker."""
        times = self.document["coherence"][group]
        least = times[distance]["value"]
        for name in DISTANCES[DISTANCES.index(distance) + 1 :]:
            if times[name]["value"] < least:
                times[name] = {"value": least, "unit": "ns", "unverified": f"as {distance}"}

    @staticmethod
    def _find(document: dict[str, Any], field: str) -> tuple[dict[str, Any], str]:
        *where, key = field.split(".")
        for name in where:
            document = document[name]
        return document, key
