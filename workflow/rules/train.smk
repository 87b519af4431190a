rule independent:
    input:
        manifest=lambda wildcards: manifests([wildcards.anatomy]),
        shards=lambda wildcards: shards([wildcards.anatomy]),
        mask=f"{RESULTS}/masks/{{sampling}}.npz",
    output:
        expand(
            f"{RESULTS}/{{{{sampling}}}}/seed{{{{seed}}}}/independent/{{{{anatomy}}}}/{{file}}",
            file=MODEL,
        ),
    log:
        f"{LOGS}/{{sampling}}/seed{{seed}}/independent/{{anatomy}}.log",
    benchmark:
        f"{BENCHMARKS}/{{sampling}}/seed{{seed}}/independent/{{anatomy}}.tsv"
    conda:
        ENVIRONMENT
    threads: plan.threads
    resources:
        **TRAINING,
    params:
        task=lambda wildcards: plan.task("independent", wildcards.seed),
        folder=subpath(output[0], parent=True),
        data=lambda wildcards: data_options([wildcards.anatomy]),
        checkpoints=CHECKPOINTS,
        code=TRAINING_CODE,
    shell:
        f"{TRAIN} > {{log:q}} 2>&1"


rule shared:
    input:
        manifest=manifests(plan.config.base),
        shards=shards(plan.config.base),
        mask=f"{RESULTS}/masks/{{sampling}}.npz",
    output:
        expand(
            f"{RESULTS}/{{{{sampling}}}}/seed{{{{seed}}}}/shared/{{file}}", file=MODEL
        ),
    log:
        f"{LOGS}/{{sampling}}/seed{{seed}}/shared.log",
    benchmark:
        f"{BENCHMARKS}/{{sampling}}/seed{{seed}}/shared.tsv"
    conda:
        ENVIRONMENT
    threads: plan.threads
    resources:
        **TRAINING,
    params:
        task=lambda wildcards: plan.task("shared", wildcards.seed),
        folder=subpath(output[0], parent=True),
        data=data_options(plan.config.base),
        checkpoints=CHECKPOINTS,
        code=TRAINING_CODE,
    shell:
        f"{TRAIN} > {{log:q}} 2>&1"


rule shared_all:
    input:
        manifest=manifests(plan.anatomies),
        shards=shards(plan.anatomies),
        mask=f"{RESULTS}/masks/{{sampling}}.npz",
    output:
        expand(
            f"{RESULTS}/{{{{sampling}}}}/seed{{{{seed}}}}/shared_all/{{file}}",
            file=MODEL,
        ),
    log:
        f"{LOGS}/{{sampling}}/seed{{seed}}/shared_all.log",
    benchmark:
        f"{BENCHMARKS}/{{sampling}}/seed{{seed}}/shared_all.tsv"
    conda:
        ENVIRONMENT
    threads: plan.threads
    resources:
        **TRAINING,
    params:
        task=lambda wildcards: plan.task("shared", wildcards.seed),
        folder=subpath(output[0], parent=True),
        data=data_options(plan.anatomies),
        checkpoints=CHECKPOINTS,
        code=TRAINING_CODE,
    shell:
        f"{TRAIN} > {{log:q}} 2>&1"


rule shared_instance_norm:
    input:
        manifest=manifests(plan.config.base),
        shards=shards(plan.config.base),
        mask=f"{RESULTS}/masks/{{sampling}}.npz",
    output:
        expand(
            f"{RESULTS}/{{{{sampling}}}}/seed{{{{seed}}}}/shared_instance_norm/{{file}}",
            file=MODEL,
        ),
    log:
        f"{LOGS}/{{sampling}}/seed{{seed}}/shared_instance_norm.log",
    benchmark:
        f"{BENCHMARKS}/{{sampling}}/seed{{seed}}/shared_instance_norm.tsv"
    conda:
        ENVIRONMENT
    threads: plan.threads
    resources:
        **TRAINING,
    params:
        task=lambda wildcards: plan.task("shared_instance_norm", wildcards.seed),
        folder=subpath(output[0], parent=True),
        data=data_options(plan.config.base),
        checkpoints=CHECKPOINTS,
        code=TRAINING_CODE,
    shell:
        f"{TRAIN} > {{log:q}} 2>&1"


rule pretrained:
    input:
        manifest=manifests(plan.config.base),
        shards=shards(plan.config.base),
        mask=f"{RESULTS}/masks/{{sampling}}.npz",
    output:
        expand(
            f"{RESULTS}/{{{{sampling}}}}/seed{{{{seed}}}}/pretrained/{{file}}",
            file=[*MODEL, *BASE_ASPINS],
        ),
    log:
        f"{LOGS}/{{sampling}}/seed{{seed}}/pretrained.log",
    benchmark:
        f"{BENCHMARKS}/{{sampling}}/seed{{seed}}/pretrained.tsv"
    priority: 10
    conda:
        ENVIRONMENT
    threads: plan.threads
    resources:
        **TRAINING,
    params:
        task=lambda wildcards: plan.task("pretrained", wildcards.seed),
        folder=subpath(output[0], parent=True),
        data=data_options(plan.config.base),
        checkpoints=CHECKPOINTS,
        code=TRAINING_CODE,
    shell:
        f"{TRAIN} > {{log:q}} 2>&1"


rule distilled:
    input:
        manifest=manifests(plan.config.base),
        shards=shards(plan.config.base),
        mask=f"{RESULTS}/masks/{{sampling}}.npz",
        base=expand(
            f"{RESULTS}/{{{{sampling}}}}/seed{{{{seed}}}}/pretrained/{{file}}",
            file=["model.safetensors", "model.json", *BASE_ASPINS],
        ),
        teachers=expand(
            f"{RESULTS}/{{{{sampling}}}}/seed{{{{seed}}}}/independent/{{anatomy}}/{{file}}",
            anatomy=plan.config.base,
            file=["model.safetensors", "model.json"],
        ),
    output:
        expand(
            f"{RESULTS}/{{{{sampling}}}}/seed{{{{seed}}}}/distilled/layer{{{{layer}}}}/{{file}}",
            file=[*MODEL, *BASE_ASPINS],
        ),
    log:
        f"{LOGS}/{{sampling}}/seed{{seed}}/distilled/layer{{layer}}.log",
    benchmark:
        f"{BENCHMARKS}/{{sampling}}/seed{{seed}}/distilled/layer{{layer}}.tsv"
    priority: 10
    conda:
        ENVIRONMENT
    threads: plan.threads
    resources:
        **TRAINING,
    params:
        task=lambda wildcards: plan.task("distilled", wildcards.seed, wildcards.layer),
        folder=subpath(output[0], parent=True),
        data=data_options(plan.config.base),
        base=base_folder,
        teachers=lambda wildcards: [
            f"--teacher={anatomy}={RESULTS}/{wildcards.sampling}/seed{wildcards.seed}/independent/{anatomy}"
            for anatomy in plan.config.base
        ],
        checkpoints=CHECKPOINTS,
        code=TRAINING_CODE,
    shell:
        f"{TRAIN} --base {{params.base:q}} {{params.teachers:q}} > {{log:q}} 2>&1"


rule continued:
    input:
        manifest=manifests(plan.config.base),
        shards=shards(plan.config.base),
        mask=f"{RESULTS}/masks/{{sampling}}.npz",
        base=expand(
            f"{RESULTS}/{{{{sampling}}}}/seed{{{{seed}}}}/pretrained/{{file}}",
            file=["model.safetensors", "model.json", *BASE_ASPINS],
        ),
    output:
        expand(
            f"{RESULTS}/{{{{sampling}}}}/seed{{{{seed}}}}/continued/{{file}}",
            file=[*MODEL, *BASE_ASPINS],
        ),
    log:
        f"{LOGS}/{{sampling}}/seed{{seed}}/continued.log",
    benchmark:
        f"{BENCHMARKS}/{{sampling}}/seed{{seed}}/continued.tsv"
    conda:
        ENVIRONMENT
    threads: plan.threads
    resources:
        **TRAINING,
    params:
        task=lambda wildcards: plan.task("continued", wildcards.seed),
        folder=subpath(output[0], parent=True),
        data=data_options(plan.config.base),
        base=base_folder,
        checkpoints=CHECKPOINTS,
        code=TRAINING_CODE,
    shell:
        f"{TRAIN} --base {{params.base:q}} > {{log:q}} 2>&1"
