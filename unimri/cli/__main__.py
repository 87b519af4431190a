"""The command line, `unimri` or `python -m unimri.cli`: what a person calls and what the rules call, and its faults."""

import logging
import sys
import warnings
from typing import Annotated, Any

import typer
from typer.core import TyperGroup

from unimri.cli import commands, steps
from unimri.core.errors import UnimriError, unwritable

PANELS = [commands.SCANS, commands.EXPERIMENT, steps.STEPS]
"""Of `unimri --help`, in their order."""


class _ByPanel(TyperGroup):
    """Lists commands panel by panel: what a person calls stands before what rules call."""

    def list_commands(self, *context: Any) -> list[str]:
        last = ("inspect", "doctor")
        return sorted(
            super().list_commands(*context),
            key=lambda name: (PANELS.index(getattr(self.commands[name], "rich_help_panel", steps.STEPS)), name in last),
        )


app = typer.Typer(cls=_ByPanel, no_args_is_help=True, help="Universal undersampled MRI reconstruction.")
app.add_typer(commands.app)
app.add_typer(steps.app)


def _version(wanted: bool) -> None:
    if wanted:
        from unimri.deploy.doctor import own_version

        typer.echo(f"unimri {own_version()}")
        raise typer.Exit


@app.callback()
def _start(
    context: typer.Context,
    version: Annotated[
        bool, typer.Option("--version", callback=_version, is_eager=True, help="Print the version and exit.")
    ] = False,
) -> None:
    # Standard output goes to the rules' logs, which stay with the results: what we log names no patient and no file.
    # What pydicom and nibabel say repeats values of headers, and goes nowhere.
    handler = logging.StreamHandler(sys.stdout)
    # A log on a full disk is no reason for a traceback in it.
    handler.handleError = lambda record: None  # type: ignore[method-assign]
    handler.setFormatter(logging.Formatter("%(levelname)s %(message)s"))
    ours = logging.getLogger("unimri")
    ours.addHandler(handler)
    # Another command may follow in the same process, on another standard output.
    context.call_on_close(lambda: ours.removeHandler(handler))
    ours.setLevel(logging.INFO)
    logging.getLogger().addHandler(logging.NullHandler())
    warnings.simplefilter("ignore")


def main() -> None:
    """Entry point: a fault that the user can mend is one line on standard error and exit status 1."""
    try:
        app()
    except UnimriError as fault:
        sys.exit(f"unimri: {fault}")
    except OSError as fault:
        # What cannot be read has been told by those who read.
        told = unwritable(fault)
        if told is None:
            raise
        sys.exit(f"unimri: {told}")


if __name__ == "__main__":
    main()
