"""The command line: `cgsim VERB ...`."""

from cgsim.cli.command_line import main

__all__ = ["main"]
