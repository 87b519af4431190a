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
for own in plan.training_rules.values():

    rule:
        name:
            own.name
        input:
            manifest=of(own, lambda training: manifests(training.anatomies)),
            shards=of(own, lambda training: shards(training.anatomies)),
            mask=f"{RESULTS}/masks/{{sampling}}.npz",
            networks=of(own, plan.training_inputs),
        output:
            plan.training_files(own),
        log:
            f"{LOGS}/{{sampling}}/seed{{seed}}/{own.log}.log",
        benchmark:
            f"{BENCHMARKS}/{{sampling}}/seed{{seed}}/{own.log}.tsv"
        wildcard_constraints:
            anatomy="|".join(plan.learns_from(own)) or "none",
        priority: own.priority
        conda:
            ENVIRONMENT
        threads: plan.threads
        resources:
            **TRAINING,
        params:
            task=of(own, plan.task),
            folder=subpath(output[0], parent=True),
            data=of(own, lambda training: data_options(training.anatomies)),
            networks=of(own, network_options),
            checkpoints=CHECKPOINTS,
            code=of(own, plan.training_code),
        shell:
            TRAIN
