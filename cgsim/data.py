"""The package's data files: where they are, in a wheel or a checkout, and how YAML is read."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import yaml

from cgsim.resources import data_directory

if TYPE_CHECKING:
    from pathlib import Path


def data_path(*parts: str) -> Path:
    """The path of a data file or directory, as in `data_path("machines", "zen5-vm.yml")`.

    The path is not required to exist. Raises `UserError` if there is no data directory at all.
    """
    return data_directory().joinpath(*parts)


# libyaml's parser, where PyYAML was built with it, is far quicker.
_SafeLoader: Any = getattr(yaml, "CSafeLoader", yaml.SafeLoader)


class StrictLoader(_SafeLoader):
    """A safe loader that refuses a key given twice, where plain YAML keeps the last silently."""

    def construct_mapping(self, node: yaml.MappingNode, deep: bool = False) -> dict[Any, Any]:
        seen = set()
        for key_node, _ in node.value:
            key = self.construct_object(key_node, deep=True)
            if not isinstance(key, str):
                raise yaml.constructor.ConstructorError(
                    problem=f"key {key!r} is not text", problem_mark=key_node.start_mark
                )
            if key in seen:
                raise yaml.constructor.ConstructorError(
                    problem=f"key {key!r} is given twice", problem_mark=key_node.start_mark
                )
            seen.add(key)
        return super().construct_mapping(node, deep)
