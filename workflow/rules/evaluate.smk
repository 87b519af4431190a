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
        code=plan.code("unimri.evaluation.run"),
    shell:
        "python -m unimri.cli evaluate {wildcards.method} {wildcards.seed} {wildcards.anatomy} {params.data:q} {input.mask:q}"
        " --settings {params.settings:q} --output {output.slices:q} {params.model:q} > {log:q} 2>&1"
