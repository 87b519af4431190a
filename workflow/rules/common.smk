import os

from unimri.workflow.resources import job_resources


# On a cluster, seconds on the machine that Snakemake runs on.
localrules:
    all,
    mask,
    manifest,
    tables,
    curves,
    contact_sheet,
    mask_picture,
    data_report,
    study_table,
    study_picture,
    report,


# exec: a signal that a scheduler sends to the shell reaches the training. Snakemake compares this text before it fills
# it in: another number of processes, of minutes, or another logger trains nothing again.
TRAIN = (
    "exec python -m unimri.cli train {input.mask:q} --task {params.task:q} --output {params.folder:q}"
    " --checkpoints {params.checkpoints:q} {params.data:q} --processes {resources.processes}"
    " --checkpoint-minutes {plan.config.training.checkpoint_minutes} {plan.logging}"
)


def asked(kind):
    def of(name):
        return lambda wildcards, attempt: getattr(
            job_resources(kind, plan.config).of_attempt(attempt), name
        )

    return dict(mem_mb=of("memory_mb"), runtime=of("minutes"))


LIGHT, READING, SCORING = asked("light"), asked("reading"), asked("scoring")
TRAINING = asked("training") | dict(gpu=plan.gpus, processes=plan.processes)
CHECKPOINTS = f"{RESULTS}/checkpoints"


def code(*modules):
    # Asked for by jobs, and not when rules are read: on a cluster each job has a Snakemake that plans it alone.
    return lambda wildcards: plan.code(*modules)


TRAINING_CODE = code("unimri.training.run")
MODEL = ["model.safetensors", "model.json", "history.csv", "last/model.safetensors"]
BASE_ASPINS = [f"aspin/{anatomy}.safetensors" for anatomy in plan.config.base]


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


def data_options(anatomies):
    return [f"--data={anatomy}={RESULTS}/data/{anatomy}" for anatomy in anatomies]


def base_folder(wildcards, input):
    return os.path.dirname(input.base[0])
