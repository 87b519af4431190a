"""For mkdocstrings: this project's docstrings say `name : what it is` where numpydoc wants a type."""

import re
from typing import Any

from griffe import Extension, Object

RETURNS = ("Returns", "Yields")
ENTRIES = ("Parameters", "Attributes", "Raises", *RETURNS)
_ENTRY = re.compile(r"^(\*{0,2}\w[\w., *]*) : (.+)$")


class Docstrings(Extension):
    """Rewrites such entries as numpydoc writes entries without a type, before they are parsed."""

    def on_object(self, *, obj: Object, **_: Any) -> None:
        if obj.docstring is not None and not obj.is_alias:
            obj.docstring.value = rewrite(obj.docstring.value)


def rewrite(text: str) -> str:
    """Move what follows the colon of an entry, and free text below `Returns`, to indented lines of their own."""
    lines: list[str] = []
    section, free = "", False
    for line in text.splitlines():
        if lines and re.fullmatch(r"-{3,}", line):
            section, free = lines[-1], False
        elif section in ENTRIES and (found := _ENTRY.match(line)):
            # Below `Returns` a name alone would be taken for a type.
            lines += [found[1] + (" :" if section in RETURNS else ""), f"    {found[2]}"]
            continue
        elif section in RETURNS and line and not line.startswith(" "):
            lines += [] if free else [":"]
            line, free = f"    {line}", True
        elif not line:
            section = ""
        lines.append(line)
    return "\n".join(lines)
