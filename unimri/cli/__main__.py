"""`python -m unimri.cli`, as the rules call it."""

from unimri.cli.steps import main

main()
