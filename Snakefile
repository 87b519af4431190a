import sys
from pathlib import Path

from snakemake.utils import min_version

from unimri.config import parse_config
from unimri.core.errors import UnimriError
from unimri.core.settings_file import read_yaml
from unimri.workflow.plan import WorkflowPlan
from unimri.workflow.times import mend_times

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

# Before anything is planned, also by a dry run. Jobs are planned by what started them.
if workflow.is_main_process:
    try:
        if ahead := mend_times(plan.config.results, plan.config.private):
            print(
                f"unimri: {ahead} files of {plan.results} and {plan.private} had times in the future, by a clock that was"
                " ahead; they count as older than the others now, and what was made from other content is made again",
                file=sys.stderr,
            )
    except OSError as fault:
        sys.exit(
            f"unimri: {fault.filename}: its time is in the future, and cannot be mended ({fault.strerror}); its owner"
            " must `touch` it"
        )


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
