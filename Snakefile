import sys
from pathlib import Path

from snakemake.utils import min_version

from unimri.config import parse_config
from unimri.core.errors import UnimriError
from unimri.core.settings_file import read_yaml
from unimri.workflow.plan import WorkflowPlan

min_version("9.14")


configfile: "config.yaml"


try:
    # Snakemake has read these files, and of a key that one gives twice the last.
    for file in workflow.configfiles:
        read_yaml(Path(file))
    # Where jobs are submitted, other machines train.
    plan = WorkflowPlan(
        parse_config(config), trains_here=workflow.resource_settings.nodes is None
    )
except UnimriError as fault:
    sys.exit(f"unimri: {fault}")


include: "workflow/rules/common.smk"
include: "workflow/rules/data.smk"
include: "workflow/rules/train.smk"
include: "workflow/rules/score.smk"
include: "workflow/rules/report.smk"
include: "workflow/rules/models.smk"


rule all:
    default_target: True
    input:
        plan.report_inputs(),
        f"{RESULTS}/tables/data.md",
        f"{RESULTS}/report.html",
        expand(f"{RESULTS}/models/{{sampling}}", sampling=plan.samplings),
