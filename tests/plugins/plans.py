"""Run in a process of its own: prints, as JSON, what rules are given by the example's overlay."""

import json
import sys
import tempfile
from pathlib import Path

from unimri.config import load_config
from unimri.workflow.plan import WorkflowPlan
from unimri.workflow.trainings import as_json

root = Path(sys.argv[1])
overlay = root / "examples/unimri-example-plugins/overlay.yaml"
# Not simulated, so that the example's reader is planned too.
block = {"role": "new", "reader": {"format": "npy-folder"}, "fit": "resize", "path": str(root)}
with tempfile.TemporaryDirectory() as folder:
    more = Path(folder, "more.yaml")
    more.write_text(json.dumps({"anatomies": {"block": block}}))
    plan = WorkflowPlan(load_config(root / "config.yaml", overlay, more))
print(
    json.dumps(
        {
            "simulation of brain": plan.simulation("brain"),
            "simulation of ball": plan.simulation("ball"),
            "index of brain": plan.index("brain"),
            "index of block": plan.index("block"),
            "mask": plan.mask("4x"),
            "training": plan.task(plan.trainings("4x", "1")[0]),
            "metrics": as_json(plan.config.metrics),
            "code": plan.code("unimri.training.run"),
        }
    )
)
