import json
import shlex
import sys

from snakemake.utils import min_version

from unimri.config import parse_config
from unimri.errors import UnimriError
from unimri.plan import WorkflowPlan

min_version("9.0")


configfile: "config.yaml"


try:
    plan = WorkflowPlan(parse_config(config))
except UnimriError as fault:
    sys.exit(f"unimri: {fault}")

# So that an environment of --sdm conda, which holds the libraries only, finds the package.
shell.prefix(f"export PYTHONPATH={shlex.quote(str(workflow.basedir))}:$PYTHONPATH; ")

RESULTS = plan.results
PRIVATE = plan.private
LOGS = f"{RESULTS}/logs"
BENCHMARKS = f"{RESULTS}/benchmarks"
ENVIRONMENT = f"{workflow.basedir}/envs/unimri.yaml"


wildcard_constraints:
    sampling=r"[0-9.]+x(-[a-z0-9-]+)?",
    seed=r"[0-9]+",
    anatomy="|".join(plan.anatomies),
    study="robustness|aspin_matrix|adaptation|forgetting|masks",
    layer=r"[0-9]+",
    patients=r"[0-9]+|all",
    way="aspin|finetuned|scratch",
    shard=r"shard-[0-9]+",
    base=r"pretrained|continued|distilled/layer[0-9]+",
    method="|".join(plan.methods) + "|layer[0-9]+",


include: "workflow/rules/common.smk"
include: "workflow/rules/data.smk"
include: "workflow/rules/train.smk"
include: "workflow/rules/adapt.smk"
include: "workflow/rules/few.smk"
include: "workflow/rules/evaluate.smk"
include: "workflow/rules/report.smk"
include: "workflow/rules/studies.smk"


rule all:
    default_target: True
    input:
        plan.report_inputs(),
        f"{RESULTS}/tables/data.md",
        f"{RESULTS}/report.html",
