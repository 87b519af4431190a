# exec: a signal that a scheduler sends to the shell reaches the training. Snakemake compares this text before it fills
# it in: another number of processes, of minutes, or another logger trains nothing again.
TRAIN = (
    "exec python -m unimri.cli train {input.mask:q} --task {params.task:q} --output {params.folder:q}"
    " --checkpoints {params.checkpoints:q} {params.data:q} --processes {resources.processes}"
    " --checkpoint-minutes {plan.config.training.checkpoint_minutes} {plan.logging} {params.networks:q} > {log:q} 2>&1"
)


def of(rule, say):
    # What `say` says of the training that a job of the rule is.
    return lambda wildcards: say(plan.training(rule, **wildcards))


def network_options(training):
    base = [] if training.base is None else [f"--base={training.base}"]
    return base + [
        f"--teacher={anatomy}={folder}" for anatomy, folder in training.teachers.items()
    ]


# S1, Shared, S2, S3, their controls; S4 as `adapted`; those of few patients as `few_...`.
for kind in plan.training_rules.values():

    rule:
        name:
            kind.name
        input:
            manifest=of(kind, lambda training: manifests(training.anatomies)),
            shards=of(kind, lambda training: shards(training.anatomies)),
            mask=f"{RESULTS}/masks/{{sampling}}.npz",
            networks=of(kind, plan.training_inputs),
        output:
            plan.training_files(kind),
        log:
            f"{LOGS}/{{sampling}}/seed{{seed}}/{kind.log}.log",
        benchmark:
            f"{BENCHMARKS}/{{sampling}}/seed{{seed}}/{kind.log}.tsv"
        wildcard_constraints:
            anatomy="|".join(plan.learns_from(kind)) or "none",
        priority: kind.priority
        conda:
            ENVIRONMENT
        threads: plan.threads
        resources:
            **TRAINING,
        params:
            task=of(kind, plan.task),
            folder=subpath(output[0], parent=True),
            data=of(kind, lambda training: data_options(training.anatomies)),
            networks=of(kind, network_options),
            checkpoints=CHECKPOINTS,
            code=of(kind, plan.training_code),
        shell:
            TRAIN
