import shlex
import sys
from pathlib import Path

from unimri.core.artifacts import remove_all_leftovers
from unimri.core.errors import UnimriError
from unimri.core.machine import machine_resources
from unimri.core.locks import lock_folders
from unimri.workflow.jobs import cancel_leftovers, job_resources
from unimri.workflow.trainings import as_json

RESULTS = plan.results
PRIVATE = plan.private
LOGS = f"{RESULTS}/logs"
BENCHMARKS = f"{RESULTS}/benchmarks"
CHECKPOINTS = f"{RESULTS}/checkpoints"
ENVIRONMENT = f"{workflow.basedir}/envs/unimri.yaml"


# For --sdm apptainer.
container: plan.config.container


# This takes the place of Snakemake's own prefix, which makes a rule fail with any command of it. The path is so that an
# environment of --sdm conda, which holds the libraries only, finds the package.
PREFIX = (
    f"set -euo pipefail; export PYTHONPATH={shlex.quote(str(workflow.basedir))}"
    "${PYTHONPATH:+:$PYTHONPATH}; "
)
# Snakemake fills in names between braces.
shell.prefix(PREFIX.replace("{", "{{").replace("}", "}}"))


# One machine, or the part of it that a scheduler has granted: what it has bounds what runs on it at once, unless --resources
# does. Where jobs are submitted (--jobs), their scheduler has the bounds.
if workflow.resource_settings.nodes is None:
    for resource, amount in machine_resources().items():
        if resource not in workflow.global_resources:
            workflow.register_resource(resource, amount)


# Kept for as long as this process lives.
LOCKS = []


onstart:
    # In place of Snakemake's own locks, which a killed Snakemake leaves behind.
    try:
        LOCKS.extend(lock_folders(Path(RESULTS), Path(PRIVATE)))
        cancel_leftovers(Path.cwd())
        # Nobody else writes there now.
        for folder in (RESULTS, PRIVATE):
            remove_all_leftovers(Path(folder))
    except UnimriError as fault:
        sys.exit(f"unimri: {fault}")


# On a cluster, seconds on the machine that Snakemake runs on.
localrules:
    all,
    mask,
    manifest,
    tables,
    figures,
    data_report,
    report,


wildcard_constraints:
    sampling=r"[0-9.]+x(-[a-z0-9-]+)?",
    seed=r"[0-9]+",
    anatomy="|".join(plan.anatomies),
    layer=r"[0-9]+",
    patients=r"[0-9]+|all",
    shard=r"shard-[0-9]+",
    base="|".join(plan.universal).replace("{layer}", "[0-9]+"),
    method="|".join(plan.methods) + "|layer[0-9]+",


def asked(kind):
    def of(name):
        return lambda wildcards, attempt: getattr(
            job_resources(kind, plan.config).of_attempt(attempt), name
        )

    return dict(mem_mb=of("memory_mb"), runtime=of("minutes"))


LIGHT, READING, SCORING = asked("light"), asked("reading"), asked("scoring")
TRAINING = asked("training") | dict(gpu=plan.gpus, processes=plan.processes)
BASE_ASPINS = [f"aspin/{anatomy}.safetensors" for anatomy in plan.config.base]


def code(*modules):
    # Asked for by jobs, and not when rules are read: on a cluster each job has a Snakemake that plans it alone.
    return lambda wildcards: plan.code(*modules)


# What runs networks reaches their conditionings by name.
CONDITIONINGS = plan.conditionings(plan.methods)


def raw_folder(anatomy):
    # Of real scans the listing in the rule's parameters counts, and not the time of a touched folder. A simulated
    # folder must not be ancient: Snakemake would not prepare it again in the run that simulates it again.
    folder = plan.raw(anatomy)
    return folder if plan.config.anatomies[anatomy].simulated else ancient(folder)


def manifests(anatomies):
    return [f"{RESULTS}/data/{anatomy}/manifest.csv" for anatomy in anatomies]


def shards(anatomies):
    # The manifest holds the shards' digests; their own times do not count.
    return [
        ancient(f"{RESULTS}/data/{anatomy}/{shard}.h5")
        for anatomy in anatomies
        for shard in plan.shards
    ]


def notes(*files):
    # The files' SHA-256, which lie beside them (unimri.core.artifacts.noting).
    return [f"{file}.sha256" for file in files]


def data_options(anatomies):
    return [f"--data={anatomy}={RESULTS}/data/{anatomy}" for anatomy in anatomies]
