"""The command line: `cgsim VERB ...`.

Interrupts are looked after before anything else is imported.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Sequence


def main(arguments: Sequence[str] | None = None) -> int:
    """Run the command line on `arguments`, the process' own if None; returns the exit status."""
    if arguments is None:
        from cgsim.cli.signals import end_at_once

        end_at_once()
    from cgsim.cli.command_line import run

    return run(arguments)


__all__ = ["main"]
