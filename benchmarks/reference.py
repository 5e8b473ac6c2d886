"""Write docs/reference.md: the public functions, from their own docstrings.

python -m benchmarks.reference
"""

from __future__ import annotations

import inspect
from pathlib import Path

import cgsim

TARGET = Path(__file__).parents[1] / "docs" / "reference.md"
_HEAD = """\
# Reference

The public functions of `cgsim`, written from their docstrings by `python -m benchmarks.reference`.
The verbs of the command line have their own help: `cgsim --help`, `cgsim simulate --help`.
"""


def text() -> str:
    """The whole file."""
    parts = [_HEAD]
    for name in cgsim.__all__:
        value = getattr(cgsim, name)
        if not inspect.isfunction(value):
            continue
        parameters = ", ".join(map(_plain, inspect.signature(value).parameters.values()))
        doc = inspect.getdoc(value) or ""
        parts.append(f"## {name}\n\n    cgsim.{name}({parameters})\n\n```text\n{doc}\n```\n")
    return "\n".join(parts)


def _plain(parameter: inspect.Parameter) -> str:
    """A parameter's name and default; its type stands in the docstring or follows from it."""
    stars = {parameter.VAR_POSITIONAL: "*", parameter.VAR_KEYWORD: "**"}.get(parameter.kind, "")
    default = "" if parameter.default is parameter.empty else f"={parameter.default!r}"
    return f"{stars}{parameter.name}{default}"


if __name__ == "__main__":
    TARGET.write_text(text())
