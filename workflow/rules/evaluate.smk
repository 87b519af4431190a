# Nothing random is in it: one for all seeds.
rule tune:
    input:
        manifest=lambda wildcards: manifests([wildcards.anatomy]),
        shards=lambda wildcards: shards([wildcards.anatomy]),
        mask=f"{RESULTS}/masks/{{sampling}}.npz",
    output:
        f"{RESULTS}/{{sampling}}/classical/{{method}}/{{anatomy}}.json",
    log:
        f"{LOGS}/{{sampling}}/classical/{{method}}/{{anatomy}}.log",
    benchmark:
        f"{BENCHMARKS}/{{sampling}}/classical/{{method}}/{{anatomy}}.tsv"
    wildcard_constraints:
        method="total_variation|wavelet",
    conda:
        ENVIRONMENT
    resources:
        **SCORING,
    params:
        data=f"{RESULTS}/data/{{anatomy}}",
        settings=lambda wildcards: plan.classical(wildcards.method),
        metrics=plan.metrics(),
        slices=plan.config.classical.validation_slices,
        code=code("unimri.classical.tuning"),
    shell:
        "python -m unimri.cli tune {wildcards.method} {wildcards.anatomy} {params.data:q} {input.mask:q}"
        " --settings {params.settings:q} --metrics {params.metrics:q} --slices {params.slices} --output {output:q}"
        " > {log:q} 2>&1"


rule evaluate:
    input:
        manifest=lambda wildcards: manifests([wildcards.anatomy]),
        shards=lambda wildcards: shards([wildcards.anatomy]),
        mask=f"{RESULTS}/masks/{{sampling}}.npz",
        model=lambda wildcards: plan.model_files(
            wildcards.method, wildcards.sampling, wildcards.seed, wildcards.anatomy
        ),
    output:
        slices=f"{RESULTS}/{{sampling}}/seed{{seed}}/metrics/{{method}}/{{anatomy}}.csv",
        volumes=f"{RESULTS}/{{sampling}}/seed{{seed}}/metrics/{{method}}/{{anatomy}}.volumes.csv",
    log:
        f"{LOGS}/{{sampling}}/seed{{seed}}/metrics/{{method}}/{{anatomy}}.log",
    benchmark:
        f"{BENCHMARKS}/{{sampling}}/seed{{seed}}/metrics/{{method}}/{{anatomy}}.tsv"
    conda:
        ENVIRONMENT
    resources:
        **SCORING,
    params:
        data=f"{RESULTS}/data/{{anatomy}}",
        model=lambda wildcards: [
            f"--model={folder}"
            for folder in [
                plan.model(
                    wildcards.method,
                    wildcards.sampling,
                    wildcards.seed,
                    wildcards.anatomy,
                )
            ]
            if folder is not None
        ],
        settings=plan.metrics(),
        code=code("unimri.evaluation.run", *CONDITIONINGS),
    shell:
        "python -m unimri.cli evaluate {wildcards.method} {wildcards.seed} {wildcards.anatomy} {params.data:q} {input.mask:q}"
        " --settings {params.settings:q} --output {output.slices:q} {params.model:q} > {log:q} 2>&1"
