"""The fenced blocks and the commands in the text of README, CONTRIBUTING and docs/, as a markdown parser finds them."""

import re
from pathlib import Path
from typing import NamedTuple

from markdown_it import MarkdownIt

ROOT = Path(__file__).parents[2]
SITE = sorted((ROOT / "docs").rglob("*.md"))
PAGES = [ROOT / "README.md", ROOT / "CONTRIBUTING.md", *SITE]


class Block(NamedTuple):
    """A block of code.

    Attributes
    ----------
    page : from the project's folder.
    line : of the fence.
    kind : what stands after the fence, 'python'; '' where nothing does and for code that is only indented.
    title : as in ```yaml title="my-profile/config.yaml"; '' without.
    text : what stands in it.
    """

    page: str
    line: int
    kind: str
    title: str
    text: str

    def __str__(self) -> str:
        return f"{self.page}:{self.line}"


def blocks(*kinds: str) -> list[Block]:
    """Blocks of these kinds on all pages; of every kind when none is given."""
    found = []
    for page in PAGES:
        for token in MarkdownIt().parse(page.read_text(encoding="utf-8")):
            if token.type in ("fence", "code_block"):
                kind, _, rest = token.info.strip().partition(" ")
                title = re.search(r'title="([^"]+)"', rest)
                name, line = str(page.relative_to(ROOT)), (token.map or [0])[0] + 1
                found.append(Block(name, line, kind, title[1] if title else "", token.content))
    return [block for block in found if not kinds or block.kind in kinds]


def commands_in_the_text(program: str) -> list[tuple[str, list[str]]]:
    """Page and words of each command of a program that stands in a line as code."""
    found = []
    for page in PAGES:
        for token in MarkdownIt().enable("table").parse(page.read_text(encoding="utf-8")):
            for child in token.children or []:
                if child.type == "code_inline" and child.content.startswith(f"{program} "):
                    found.append((page.name, child.content.split()[1:]))
    return found
