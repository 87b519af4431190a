rule adapted:
    input:
        manifest=lambda wildcards: manifests([wildcards.anatomy]),
        shards=lambda wildcards: shards([wildcards.anatomy]),
        mask=f"{RESULTS}/masks/{{sampling}}.npz",
        base=expand(
            f"{RESULTS}/{{{{sampling}}}}/seed{{{{seed}}}}/{{{{base}}}}/{{file}}",
            file=["model.safetensors", "model.json", *BASE_ASPINS],
        ),
    output:
        aspin=f"{RESULTS}/{{sampling}}/seed{{seed}}/{{base}}/aspin/{{anatomy}}.safetensors",
        last=f"{RESULTS}/{{sampling}}/seed{{seed}}/{{base}}/aspin/last/{{anatomy}}.safetensors",
        about=f"{RESULTS}/{{sampling}}/seed{{seed}}/{{base}}/aspin/{{anatomy}}.json",
        history=f"{RESULTS}/{{sampling}}/seed{{seed}}/{{base}}/aspin/{{anatomy}}.history.csv",
    log:
        f"{LOGS}/{{sampling}}/seed{{seed}}/{{base}}/adapted/{{anatomy}}.log",
    benchmark:
        f"{BENCHMARKS}/{{sampling}}/seed{{seed}}/{{base}}/adapted/{{anatomy}}.tsv"
    wildcard_constraints:
        anatomy="|".join(plan.config.new) or "none",
    conda:
        ENVIRONMENT
    threads: plan.threads
    resources:
        **TRAINING,
    params:
        task=lambda wildcards: plan.task("adapted", wildcards.seed),
        folder=subpath(output.aspin, parent=True),
        data=lambda wildcards: data_options([wildcards.anatomy]),
        base=base_folder,
        checkpoints=CHECKPOINTS,
        code=TRAINING_CODE,
    shell:
        f"{TRAIN} --base {{params.base:q}} > {{log:q}} 2>&1"
