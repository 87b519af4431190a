import json


def conditions_masks(wildcards):
    return sorted(
        {
            condition["mask"]
            for condition in plan.conditions(wildcards.sampling).values()
        }
    )


def base_model(wildcards, anatomies):
    return sorted(
        {
            file
            for anatomy in anatomies
            for file in plan.model_files(
                "proposed", wildcards.sampling, wildcards.seed, anatomy
            )
        }
    )


rule robustness:
    input:
        manifest=lambda wildcards: manifests([wildcards.anatomy]),
        shards=lambda wildcards: shards([wildcards.anatomy]),
        masks=conditions_masks,
        models=lambda wildcards: [
            file
            for method in plan.config.studies.robustness.methods
            for file in plan.model_files(
                method, wildcards.sampling, wildcards.seed, wildcards.anatomy
            )
        ],
    output:
        f"{RESULTS}/{{sampling}}/seed{{seed}}/robustness/{{anatomy}}.csv",
    log:
        f"{LOGS}/{{sampling}}/seed{{seed}}/robustness/{{anatomy}}.log",
    benchmark:
        f"{BENCHMARKS}/{{sampling}}/seed{{seed}}/robustness/{{anatomy}}.tsv"
    conda:
        ENVIRONMENT
    resources:
        **SCORING,
    params:
        acceleration=lambda wildcards: plan.acceleration(wildcards.sampling),
        data=f"{RESULTS}/data/{{anatomy}}",
        conditions=lambda wildcards: json.dumps(plan.conditions(wildcards.sampling)),
        models=lambda wildcards: json.dumps(
            plan.tried_models(wildcards.sampling, wildcards.seed, wildcards.anatomy)
        ),
        limit=plan.slices(),
        settings=plan.metrics(),
        code=code("unimri.evaluation.robustness", *CONDITIONINGS),
    shell:
        "python -m unimri.cli robustness {wildcards.anatomy} {params.acceleration} {wildcards.seed} {params.data:q}"
        " --conditions {params.conditions:q} --models {params.models:q} {params.limit} --settings {params.settings:q}"
        " --output {output:q} > {log:q} 2>&1"


rule aspin_matrix:
    input:
        manifest=lambda wildcards: manifests([wildcards.anatomy]),
        shards=lambda wildcards: shards([wildcards.anatomy]),
        mask=f"{RESULTS}/masks/{{sampling}}.npz",
        model=lambda wildcards: base_model(wildcards, plan.anatomies),
    output:
        f"{RESULTS}/{{sampling}}/seed{{seed}}/aspin_matrix/{{anatomy}}.csv",
    log:
        f"{LOGS}/{{sampling}}/seed{{seed}}/aspin_matrix/{{anatomy}}.log",
    benchmark:
        f"{BENCHMARKS}/{{sampling}}/seed{{seed}}/aspin_matrix/{{anatomy}}.tsv"
    conda:
        ENVIRONMENT
    resources:
        **SCORING,
    params:
        data=f"{RESULTS}/data/{{anatomy}}",
        model=f"{RESULTS}/{{sampling}}/seed{{seed}}/distilled/layer{plan.config.distillation.layer}",
        aspins=[f"--aspin={anatomy}" for anatomy in plan.anatomies],
        limit=plan.slices(),
        settings=plan.metrics(),
        code=code("unimri.evaluation.robustness", *CONDITIONINGS),
    shell:
        "python -m unimri.cli aspin-matrix {wildcards.anatomy} {wildcards.seed} {params.data:q} {input.mask:q} {params.model:q}"
        " {params.aspins:q} {params.limit} --settings {params.settings:q} --output {output:q} > {log:q} 2>&1"


rule forgetting:
    input:
        manifests=manifests(plan.config.base),
        shards=shards(plan.config.base),
        mask=f"{RESULTS}/masks/{{sampling}}.npz",
        model=lambda wildcards: base_model(wildcards, plan.anatomies),
        finetuned=lambda wildcards: [
            f"{folder}/{file}"
            for folder in plan.finetuned(wildcards.sampling, wildcards.seed).values()
            for file in ["model.safetensors", "model.json", *BASE_ASPINS]
        ],
    output:
        f"{RESULTS}/{{sampling}}/seed{{seed}}/forgetting.csv",
    log:
        f"{LOGS}/{{sampling}}/seed{{seed}}/forgetting.log",
    benchmark:
        f"{BENCHMARKS}/{{sampling}}/seed{{seed}}/forgetting.tsv"
    conda:
        ENVIRONMENT
    resources:
        **SCORING,
    params:
        data=data_options(plan.config.base),
        model=f"{RESULTS}/{{sampling}}/seed{{seed}}/distilled/layer{plan.config.distillation.layer}",
        new=[f"--new={anatomy}" for anatomy in plan.config.new],
        finetuned=lambda wildcards: [
            f"--finetuned={anatomy}={folder}"
            for anatomy, folder in plan.finetuned(
                wildcards.sampling, wildcards.seed
            ).items()
        ],
        settings=plan.metrics(),
        code=code("unimri.evaluation.forgetting", *CONDITIONINGS),
    shell:
        "python -m unimri.cli forgetting {wildcards.seed} {input.mask:q} {params.model:q} {params.data:q} {params.new:q}"
        " {params.finetuned:q} --settings {params.settings:q} --output {output:q} > {log:q} 2>&1"


rule evaluate_few:
    input:
        manifest=lambda wildcards: manifests([wildcards.anatomy]),
        shards=lambda wildcards: shards([wildcards.anatomy]),
        mask=f"{RESULTS}/masks/{{sampling}}.npz",
        model=lambda wildcards: plan.few_files(**wildcards),
    output:
        slices=f"{RESULTS}/{{sampling}}/seed{{seed}}/adaptation/{{method}}/{{patients}}/metrics/{{anatomy}}.csv",
        volumes=f"{RESULTS}/{{sampling}}/seed{{seed}}/adaptation/{{method}}/{{patients}}/metrics/{{anatomy}}.volumes.csv",
    log:
        f"{LOGS}/{{sampling}}/seed{{seed}}/adaptation/{{method}}/{{patients}}/metrics/{{anatomy}}.log",
    benchmark:
        f"{BENCHMARKS}/{{sampling}}/seed{{seed}}/adaptation/{{method}}/{{patients}}/metrics/{{anatomy}}.tsv"
    wildcard_constraints:
        method="aspin|finetuned|scratch",
    conda:
        ENVIRONMENT
    resources:
        **SCORING,
    params:
        data=f"{RESULTS}/data/{{anatomy}}",
        model=lambda wildcards: [
            f"--{option}={path}"
            for option, path in zip(
                ("model", "aspin"), plan.few_model(**wildcards), strict=True
            )
            if path is not None
        ],
        settings=plan.metrics(),
        code=code("unimri.evaluation.run", *CONDITIONINGS),
    shell:
        "python -m unimri.cli evaluate {wildcards.method}/{wildcards.patients} {wildcards.seed} {wildcards.anatomy} {params.data:q}"
        " {input.mask:q} --settings {params.settings:q} --output {output.slices:q} {params.model:q} > {log:q} 2>&1"


rule study_table:
    input:
        lambda wildcards: plan.study_scores(wildcards.study),
    output:
        report(
            f"{RESULTS}/tables/{{study}}.csv",
            caption="../report/study.rst",
            category="Studies",
            labels={"study": "{study}", "what": "table"},
        ),
    log:
        f"{LOGS}/study_table/{{study}}.log",
    benchmark:
        f"{BENCHMARKS}/study_table/{{study}}.tsv"
    conda:
        ENVIRONMENT
    resources:
        **LIGHT,
    params:
        anatomies=lambda wildcards: [
            f"--anatomy={anatomy}" for anatomy in plan.study_anatomies(wildcards.study)
        ],
        code=code("unimri.evaluation.study_tables"),
    shell:
        "python -m unimri.cli study-table {wildcards.study} {input:q} {params.anatomies:q} --output {output:q} > {log:q} 2>&1"


rule study_picture:
    input:
        f"{RESULTS}/tables/{{study}}.csv",
    output:
        report(
            f"{RESULTS}/figures/{{sampling}}/{{study}}.png",
            caption="../report/study.rst",
            category="Studies",
            labels={"study": "{study}", "what": "{sampling}"},
        ),
    log:
        f"{LOGS}/{{sampling}}/figures/{{study}}.log",
    benchmark:
        f"{BENCHMARKS}/{{sampling}}/figures/{{study}}.tsv"
    wildcard_constraints:
        study="adaptation|aspin_matrix",
    conda:
        ENVIRONMENT
    resources:
        **LIGHT,
    params:
        acceleration=lambda wildcards: plan.acceleration(wildcards.sampling),
        title=lambda wildcards: plan.study_title(wildcards.study, wildcards.sampling),
        code=code("unimri.evaluation.study_pictures"),
    shell:
        "python -m unimri.cli study-picture {wildcards.study} {input:q} {params.acceleration} {params.title:q}"
        " --output {output:q} > {log:q} 2>&1"
