from unimri.metrics.base import metric_modules


def metric_code(*modules):
    # Metrics are found by scanning their package, and not by imports.
    return lambda wildcards: plan.code(*modules, *metric_modules(plan.config.metrics))


TUNED = expand(
    f"{RESULTS}/{{{{sampling}}}}/classical/{{method}}/{{{{anatomy}}}}.json",
    method=plan.tuned,
)


rule reconstruct:
    input:
        manifest=lambda wildcards: manifests([wildcards.anatomy]),
        shards=lambda wildcards: shards([wildcards.anatomy]),
        mask=f"{RESULTS}/masks/{{sampling}}.npz",
        files=lambda wildcards: plan.reconstructions(**wildcards).files,
    # What is in them already, and follows from the same, is not reconstructed or tuned again.
    output:
        images=update(f"{RESULTS}/{{sampling}}/reconstructions/{{anatomy}}.h5"),
        tuned=update(TUNED),
        notes=update(
            notes(f"{RESULTS}/{{sampling}}/reconstructions/{{anatomy}}.h5", *TUNED)
        ),
    log:
        f"{LOGS}/{{sampling}}/reconstructions/{{anatomy}}.log",
    benchmark:
        f"{BENCHMARKS}/{{sampling}}/reconstructions/{{anatomy}}.tsv"
    conda:
        ENVIRONMENT
    resources:
        **SCORING,
    params:
        data=f"{RESULTS}/data/{{anatomy}}",
        wanted=lambda wildcards: plan.reconstructions(**wildcards).listed,
        tune=lambda wildcards: [
            f"--tune={method}={RESULTS}/{wildcards.sampling}/classical/{method}/{wildcards.anatomy}.json"
            for method in plan.tuned
        ],
        classical=plan.classical(),
        metrics=plan.tuning_metrics(),
        acquisition=plan.acquisition(),
        checkpoints=f"{CHECKPOINTS}/reconstructions-{{sampling}}-{{anatomy}}",
        code=code(
            "unimri.evaluation.reconstruct",
            *(["unimri.classical.tuning"] if plan.tuned else []),
            *CONDITIONINGS,
        ),
    # Through standard input: a system bounds the length of arguments.
    shell:
        "python -m unimri.cli reconstruct-test {wildcards.anatomy} {params.data:q} {input.mask:q}"
        " --output {output.images:q} --checkpoints {params.checkpoints:q} {params.tune:q}"
        " --classical {params.classical:q} --metrics {params.metrics:q}"
        " {params.acquisition:q} <<< {params.wanted:q} > {log:q} 2>&1"


rule score:
    input:
        manifest=lambda wildcards: manifests([wildcards.anatomy]),
        shards=lambda wildcards: shards([wildcards.anatomy]),
        reconstructions=f"{RESULTS}/{{sampling}}/reconstructions/{{anatomy}}.h5",
    output:
        slices=f"{RESULTS}/{{sampling}}/scores/{{anatomy}}.csv",
        volumes=f"{RESULTS}/{{sampling}}/scores/{{anatomy}}.volumes.csv",
        notes=notes(
            f"{RESULTS}/{{sampling}}/scores/{{anatomy}}.csv",
            f"{RESULTS}/{{sampling}}/scores/{{anatomy}}.volumes.csv",
        ),
    log:
        f"{LOGS}/{{sampling}}/scores/{{anatomy}}.log",
    benchmark:
        f"{BENCHMARKS}/{{sampling}}/scores/{{anatomy}}.tsv"
    conda:
        ENVIRONMENT
    resources:
        **SCORING,
    params:
        data=f"{RESULTS}/data/{{anatomy}}",
        settings=as_json(plan.config.metrics),
        code=metric_code("unimri.evaluation.scores"),
    shell:
        "python -m unimri.cli score {input.reconstructions:q} {params.data:q} --settings {params.settings:q}"
        " --output {output.slices:q} > {log:q} 2>&1"
