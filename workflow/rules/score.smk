from unimri.metrics.base import metric_modules
from unimri.workflow.scoring import PlannedReconstructions


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
        settings=lambda wildcards: as_json(plan.config.classical.of(wildcards.method)),
        # PSNR alone chooses: with another SSIM nothing is tuned, and so nothing reconstructed, again.
        metrics=plan.tuning_metrics(),
        slices=plan.config.classical.validation_slices,
        code=code("unimri.classical.tuning"),
    shell:
        "python -m unimri.cli tune {wildcards.method} {wildcards.anatomy} {params.data:q} {input.mask:q}"
        " --settings {params.settings:q} --metrics {params.metrics:q} --slices {params.slices} --output {output:q}"
        " > {log:q} 2>&1"


def metric_code(*modules):
    # Metrics are found by scanning their package, and not by imports.
    return lambda wildcards: plan.code(*modules, *metric_modules(plan.config.metrics))


def planned(wildcards):
    return PlannedReconstructions(plan, wildcards.sampling, wildcards.anatomy)


rule reconstruct:
    input:
        manifest=lambda wildcards: manifests([wildcards.anatomy]),
        shards=lambda wildcards: shards([wildcards.anatomy]),
        mask=f"{RESULTS}/masks/{{sampling}}.npz",
        files=lambda wildcards: planned(wildcards).files,
    # What is in it already, and follows from the same, is not reconstructed again.
    output:
        update(f"{RESULTS}/{{sampling}}/reconstructions/{{anatomy}}.h5"),
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
        wanted=lambda wildcards: planned(wildcards).listed,
        checkpoints=f"{CHECKPOINTS}/reconstructions-{{sampling}}-{{anatomy}}",
        code=code("unimri.evaluation.reconstruct", *CONDITIONINGS),
    # Through standard input: a system bounds the length of arguments.
    shell:
        "python -m unimri.cli reconstruct-test {wildcards.anatomy} {params.data:q} {input.mask:q} --output {output:q}"
        " --checkpoints {params.checkpoints:q} <<< {params.wanted:q} > {log:q} 2>&1"


rule score:
    input:
        manifest=lambda wildcards: manifests([wildcards.anatomy]),
        shards=lambda wildcards: shards([wildcards.anatomy]),
        reconstructions=f"{RESULTS}/{{sampling}}/reconstructions/{{anatomy}}.h5",
    output:
        slices=f"{RESULTS}/{{sampling}}/scores/{{anatomy}}.csv",
        volumes=f"{RESULTS}/{{sampling}}/scores/{{anatomy}}.volumes.csv",
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
