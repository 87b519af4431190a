"""Settings of a file in YAML: each key once, and no more of them, nor deeper, than anybody writes by hand."""

from pathlib import Path
from typing import Any

import yaml

from unimri.core.errors import UnimriError

# The default experiment has 4 kB, 150 values and a depth of 5.
_BYTES, _VALUES, _DEPTH = 1_000_000, 20_000, 30


def read_yaml(path: Path) -> dict[str, Any]:
    """Read the settings of a YAML file.

    Raises
    ------
    UnimriError : when it is missing, is not YAML, gives a key twice, is larger or deeper than settings are, or holds
        none.
    """
    if not path.exists():
        raise UnimriError(
            f"{path}: no such file (in {Path.cwd()}); call it in the folder of the checkout, where config.yaml is, or "
            "give the file's path"
        )
    if not path.is_file():
        raise UnimriError(f"{path}: is no file; give a file of settings")
    try:
        with path.open("rb") as file:
            text = file.read(_BYTES + 1)
        if len(text) > _BYTES:
            raise UnimriError(f"{path}: is larger than the {_BYTES // 1_000_000} MB that settings may have; shorten it")
        content = _Loader(text.decode(), path).get_single_data()
    # What it makes of dates and numbers that are none are values' errors.
    except (OSError, ValueError, OverflowError, yaml.YAMLError) as fault:
        reason = " ".join(str(fault).split())
        raise UnimriError(f"{path}: cannot be read as YAML ({reason}); check the path and the file") from None
    if not isinstance(content, dict):
        raise UnimriError(f"{path}: holds no settings; start from the file that comes with the project")
    return content


class _Loader(yaml.SafeLoader):
    """Compares what a file holds with the bounds as it is parsed: aliases let few bytes stand for endless values."""

    def __init__(self, stream: str, path: Path) -> None:
        super().__init__(stream)
        self._path, self._depth, self._values = path, 0, 0
        # Of each node that is whole: how many values it stands for.
        self._sizes: dict[int, int] = {}

    def compose_node(self, parent: Any, index: Any) -> yaml.Node | None:
        event: yaml.Event = self.peek_event()  # type: ignore[no-untyped-call]
        line = event.start_mark.line + 1  # type: ignore[union-attr]
        before = self._values
        self._depth += 1
        if self._depth > _DEPTH:
            raise UnimriError(f"{self._path}: line {line} is nested deeper than {_DEPTH} levels; no setting is")
        node = super().compose_node(parent, index)
        self._depth -= 1
        if isinstance(event, yaml.AliasEvent):
            if id(node) not in self._sizes:
                raise UnimriError(
                    f"{self._path}: *{event.anchor} in line {line} stands in what it stands for; write it out"
                )
            self._values += self._sizes[id(node)]
        else:
            self._values += 1
            self._sizes[id(node)] = self._values - before
        if self._values > _VALUES:
            raise UnimriError(f"{self._path}: stands for more than {_VALUES} values by line {line}; shorten it")
        return node

    def compose_mapping_node(self, anchor: Any) -> yaml.MappingNode:
        node = super().compose_mapping_node(anchor)
        lines: dict[tuple[str, str], int] = {}
        for key, _ in node.value:
            if isinstance(key, yaml.ScalarNode):
                name, line = (key.tag, key.value), key.start_mark.line + 1
                if name in lines:
                    raise UnimriError(
                        f"{self._path}: {key.value!r} is given twice, in line {lines[name]} and in line {line}; join "
                        "the two"
                    )
                lines[name] = line
        return node
