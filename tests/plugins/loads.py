"""Run in a process of its own: prints the anatomies of a model."""

import sys
from pathlib import Path

from unimri.models.folder import load_model

print(load_model(Path(sys.argv[1])).conditioning.anatomies)
