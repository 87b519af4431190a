"""Run in a process of its own: prints, as JSON, what rules are given by a configuration with the example's kinds."""

import json
import sys
from pathlib import Path

from unimri.config import parse_config, read_yaml
from unimri.plan import WorkflowPlan

content = read_yaml(Path(sys.argv[1]))
ball = {"role": "new", "reader": {"format": "decathlon"}, "fit": "resize", "simulation": {"anatomy": "ball"}}
content["anatomies"] |= {"ball": ball, "block": ball | {"reader": {"format": "npy-folder"}}}
content |= {"mask": {"kind": "centre-only"}, "network": {"name": "small-unet"}}
content["studies"] |= {"robustness": None}
plan = WorkflowPlan(parse_config(content))
print(
    json.dumps(
        {
            "simulation of brain": plan.simulation("brain"),
            "simulation of ball": plan.simulation("ball"),
            "index of brain": plan.index("brain"),
            "index of block": plan.index("block"),
            "mask": plan.mask("4x"),
            "training": plan.task("independent", 1),
            "metrics": plan.metrics(),
            "code": plan.code("unimri.training.run"),
        }
    )
)
