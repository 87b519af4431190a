"""What MkDocs does not do by itself: equations as MathML, and the references of the commands and of the configuration,
from the command line and from the settings themselves."""

import html
import os
import re
import subprocess
import sys
from pathlib import Path
from typing import Any

from latex2mathml.converter import convert

ROOT = Path(__file__).parents[2]
COMMANDS = "<!-- commands -->"
CONFIGURATION = "<!-- configuration -->"


def on_config(config: Any) -> Any:
    """A fence called `math` is an equation, as on forges."""
    fences = [{"name": "math", "class": "math", "format": _equation}]
    config["mdx_configs"].setdefault("pymdownx.superfences", {})["custom_fences"] = fences
    return config


def on_page_markdown(markdown: str, **_: Any) -> str:
    """Put the reference of all commands, or of all settings, where a page asks for it."""
    for mark, reference in ((COMMANDS, _commands), (CONFIGURATION, _configuration)):
        if mark in markdown:
            markdown = markdown.replace(mark, reference())
    return markdown


def on_page_content(content: str, **_: Any) -> str:
    """Equations in a line, which stand between $` and `$."""
    return re.sub(r"\$<code>(.+?)</code>\$", lambda found: convert(html.unescape(found[1])), content)


def _equation(source: str, *_: Any, **__: Any) -> str:
    return f'<div class="equation">{convert(source, display="block")}</div>'


def _commands() -> str:
    """`typer`'s own markdown, without its title and its list of commands, which the page's contents show."""
    command = [sys.executable, "-m", "typer", "unimri.cli.__main__", "utils", "docs", "--name", "unimri"]
    # An environment of its own, so that it is the same text whatever the terminal.
    environment = os.environ | {"PYTHONPATH": str(ROOT), "TERM": "dumb", "NO_COLOR": "1"}
    made = subprocess.run(command, capture_output=True, text=True, check=True, env=environment)
    # The page has the first level, and its sections the second.
    return made.stdout.partition("\n")[2]


def _configuration() -> str:
    # In a process of its own, as the commands: the package is that of this checkout.
    environment = os.environ | {"PYTHONPATH": str(ROOT)}
    command = [sys.executable, ROOT / "docs/_site/configuration.py"]
    return subprocess.run(command, capture_output=True, text=True, check=True, env=environment).stdout
