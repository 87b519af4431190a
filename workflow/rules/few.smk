PROPOSED = f"{RESULTS}/{{sampling}}/seed{{seed}}/{plan.distilled}"
FEW = f"{RESULTS}/{{sampling}}/seed{{seed}}/adaptation"


rule few_aspin:
    input:
        manifest=lambda wildcards: manifests([wildcards.anatomy]),
        shards=lambda wildcards: shards([wildcards.anatomy]),
        mask=f"{RESULTS}/masks/{{sampling}}.npz",
        base=expand(
            f"{PROPOSED}/{{file}}",
            file=["model.safetensors", "model.json", *BASE_ASPINS],
            allow_missing=True,
        ),
    output:
        aspin=f"{FEW}/aspin/{{patients}}/{{anatomy}}.safetensors",
        last=f"{FEW}/aspin/{{patients}}/last/{{anatomy}}.safetensors",
        about=f"{FEW}/aspin/{{patients}}/{{anatomy}}.json",
        history=f"{FEW}/aspin/{{patients}}/{{anatomy}}.history.csv",
    log:
        f"{LOGS}/{{sampling}}/seed{{seed}}/adaptation/aspin/{{patients}}/{{anatomy}}.log",
    benchmark:
        f"{BENCHMARKS}/{{sampling}}/seed{{seed}}/adaptation/aspin/{{patients}}/{{anatomy}}.tsv"
    conda:
        ENVIRONMENT
    threads: plan.threads
    resources:
        **TRAINING,
    params:
        task=lambda wildcards: plan.task(
            "adapted", wildcards.seed, patients=wildcards.patients
        ),
        folder=subpath(output.aspin, parent=True),
        data=lambda wildcards: data_options([wildcards.anatomy]),
        base=base_folder,
        checkpoints=CHECKPOINTS,
        code=TRAINING_CODE,
    shell:
        f"{TRAIN} --base {{params.base:q}} > {{log:q}} 2>&1"


rule few_finetuned:
    input:
        manifest=lambda wildcards: manifests([wildcards.anatomy]),
        shards=lambda wildcards: shards([wildcards.anatomy]),
        mask=f"{RESULTS}/masks/{{sampling}}.npz",
        base=expand(
            f"{PROPOSED}/{{file}}",
            file=["model.safetensors", "model.json", *BASE_ASPINS],
            allow_missing=True,
        ),
    output:
        expand(
            f"{FEW}/finetuned/{{patients}}/{{anatomy}}/{{file}}",
            file=[*MODEL, *BASE_ASPINS],
            allow_missing=True,
        ),
        aspin=f"{FEW}/finetuned/{{patients}}/{{anatomy}}/aspin/{{anatomy}}.safetensors",
    log:
        f"{LOGS}/{{sampling}}/seed{{seed}}/adaptation/finetuned/{{patients}}/{{anatomy}}.log",
    benchmark:
        f"{BENCHMARKS}/{{sampling}}/seed{{seed}}/adaptation/finetuned/{{patients}}/{{anatomy}}.tsv"
    conda:
        ENVIRONMENT
    threads: plan.threads
    resources:
        **TRAINING,
    params:
        task=lambda wildcards: plan.task(
            "finetuned", wildcards.seed, patients=wildcards.patients
        ),
        folder=subpath(output[0], parent=True),
        data=lambda wildcards: data_options([wildcards.anatomy]),
        base=base_folder,
        checkpoints=CHECKPOINTS,
        code=TRAINING_CODE,
    shell:
        f"{TRAIN} --base {{params.base:q}} > {{log:q}} 2>&1"


rule few_scratch:
    input:
        manifest=lambda wildcards: manifests([wildcards.anatomy]),
        shards=lambda wildcards: shards([wildcards.anatomy]),
        mask=f"{RESULTS}/masks/{{sampling}}.npz",
    output:
        expand(
            f"{FEW}/scratch/{{patients}}/{{anatomy}}/{{file}}",
            file=MODEL,
            allow_missing=True,
        ),
    log:
        f"{LOGS}/{{sampling}}/seed{{seed}}/adaptation/scratch/{{patients}}/{{anatomy}}.log",
    benchmark:
        f"{BENCHMARKS}/{{sampling}}/seed{{seed}}/adaptation/scratch/{{patients}}/{{anatomy}}.tsv"
    conda:
        ENVIRONMENT
    threads: plan.threads
    resources:
        **TRAINING,
    params:
        task=lambda wildcards: plan.task(
            "independent", wildcards.seed, patients=wildcards.patients
        ),
        folder=subpath(output[0], parent=True),
        data=lambda wildcards: data_options([wildcards.anatomy]),
        checkpoints=CHECKPOINTS,
        code=TRAINING_CODE,
    shell:
        f"{TRAIN} > {{log:q}} 2>&1"
