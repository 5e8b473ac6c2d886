"""Keeps the start of the processes that handle notebooks quick."""

from __future__ import annotations

import sys


def skip_address_grammar() -> None:
    """Let jsonschema, which nbformat imports, do without its check of internationalised addresses.

    Importing rfc3987_syntax builds a grammar, which takes 2 s in every process; jsonschema treats
    it as optional, and no notebook holds such an address.
    """
    sys.modules.setdefault("rfc3987_syntax", None)  # type: ignore[arg-type]
