import gc
import json
import shlex
import sys
from pathlib import Path

from snakemake.utils import min_version

from unimri.config import parse_config
from unimri.core.errors import UnimriError
from unimri.core.machine import machine_resources
from unimri.core.run_lock import occupy
from unimri.workflow.plan import WorkflowPlan
from unimri.workflow.slurm import cancel_leftovers

min_version("9.14")

# Until jobs start: what planning makes stays, and looking for garbage in it is a fifth of the time of a large plan.
gc.disable()


configfile: "config.yaml"


try:
    plan = WorkflowPlan(parse_config(config))
except UnimriError as fault:
    sys.exit(f"unimri: {fault}")


# For --sdm apptainer.
container: plan.config.container


# One machine, or the part of it that a scheduler has granted: what it has bounds what runs on it at once, unless --resources
# does. Where jobs are submitted (--jobs), their scheduler has the bounds.
if workflow.resource_settings.nodes is None:
    for resource, amount in machine_resources().items():
        if resource not in workflow.global_resources:
            workflow.register_resource(resource, amount)


# Kept for as long as this process lives.
LOCKS = []


onstart:
    gc.enable()
    # In place of Snakemake's own locks, which a killed Snakemake leaves behind.
    try:
        LOCKS.extend(occupy(Path(RESULTS), Path(PRIVATE)))
        cancel_leftovers(Path.cwd())
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
include: "workflow/rules/models.smk"


rule all:
    default_target: True
    input:
        plan.report_inputs(),
        f"{RESULTS}/tables/data.md",
        f"{RESULTS}/report.html",
        expand(f"{RESULTS}/models/{{sampling}}", sampling=plan.samplings),
