rule study_table:
    input:
        lambda wildcards: plan.study_scores(wildcards.study),
    output:
        f"{RESULTS}/tables/{{study}}.csv",
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
        methods=[f"--method={method}" for method in plan.methods],
        settings=as_json(plan.config.metrics),
        code=metric_code("unimri.evaluation.study_tables"),
    shell:
        "python -m unimri.cli study-table {wildcards.study} {input:q} {params.anatomies:q} {params.methods:q}"
        " --settings {params.settings:q} --output {output:q} > {log:q} 2>&1"


rule study_picture:
    input:
        f"{RESULTS}/tables/{{study}}.csv",
    output:
        f"{RESULTS}/figures/{{sampling}}/{{study}}.png",
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
        code=metric_code("unimri.evaluation.figures"),
    shell:
        "python -m unimri.cli study-picture {wildcards.study} {input:q} {params.acceleration} {params.title:q}"
        " --output {output:q} > {log:q} 2>&1"
