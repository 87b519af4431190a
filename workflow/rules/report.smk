rule tables:
    input:
        scores=plan.scores(plan.samplings, plan.anatomies),
        volumes=[
            file.replace(".csv", ".volumes.csv")
            for file in plan.scores(plan.samplings, plan.anatomies)
        ],
    output:
        f"{RESULTS}/tables/table1.csv",
        # Snakemake's own report has what the page does not show: the page counts orderings.
        report(
            f"{RESULTS}/tables/orderings.csv",
            caption="../report/orderings.rst",
            category="Tables",
            labels={"what": "orderings"},
        ),
        f"{RESULTS}/tables/parameters.csv",
        f"{RESULTS}/tables/table_s2.csv",
        f"{RESULTS}/tables/comparisons.csv",
        f"{RESULTS}/tables/claims.csv",
        f"{RESULTS}/tables/conventions.csv",
        expand(
            f"{RESULTS}/tables/{{table}}",
            table=[
                "table1.md",
                "table1_deviation.csv",
                "table1_published.csv",
                "table_s2.md",
                "table_s2_published.csv",
                "claims.md",
                "claims_orderings.csv",
                "parameters.md",
                "origins.json",
            ],
        ),
    log:
        f"{LOGS}/tables.log",
    benchmark:
        f"{BENCHMARKS}/tables.tsv"
    conda:
        ENVIRONMENT
    resources:
        **LIGHT,
    params:
        folder=subpath(output[0], parent=True),
        anatomies=plan.provenance(),
        methods=[
            f"--method={method}" for method in [*plan.methods, *plan.layer_methods]
        ],
        network=as_json(plan.config.network),
        settings=as_json(plan.config.metrics),
        statistics=as_json(plan.config.statistics),
        layer=plan.config.distillation.layer,
        published=plan.published(),
        code=metric_code(
            "unimri.evaluation.tables",
            "unimri.evaluation.paper",
            "unimri.models.folder",
            *CONDITIONINGS,
        ),
    shell:
        "python -m unimri.cli tables {input.scores:q} {params.methods:q} --anatomies {params.anatomies:q} --network {params.network:q}"
        " --settings {params.settings:q} --statistics {params.statistics:q} --layer {params.layer}"
        " --output {params.folder:q} > {log:q} 2>&1"


rule picture:
    input:
        manifest=lambda wildcards: manifests([wildcards.anatomy]),
        shards=lambda wildcards: shards([wildcards.anatomy]),
        reconstructions=f"{RESULTS}/{{sampling}}/reconstructions/{{anatomy}}.h5",
    output:
        picture=f"{RESULTS}/figures/{{sampling}}/{{anatomy}}.png",
        images=f"{RESULTS}/figures/{{sampling}}/{{anatomy}}.npz",
    log:
        f"{LOGS}/{{sampling}}/figures/{{anatomy}}.log",
    benchmark:
        f"{BENCHMARKS}/{{sampling}}/figures/{{anatomy}}.tsv"
    conda:
        ENVIRONMENT
    resources:
        **LIGHT,
    params:
        data=f"{RESULTS}/data/{{anatomy}}",
        methods=[f"--method={method}" for method in plan.methods],
        seed=plan.seeds[0],
        settings=as_json(plan.config.metrics),
        simulated=lambda wildcards: plan.config.anatomies[wildcards.anatomy].simulated,
        code=code("unimri.evaluation.figures"),
    shell:
        "python -m unimri.cli picture {input.reconstructions:q} {params.data:q} {params.seed} {params.simulated}"
        " {params.methods:q} --settings {params.settings:q} --output {output.picture:q} > {log:q} 2>&1"


rule curves:
    input:
        lambda wildcards: [
            file
            for histories in plan.histories(wildcards.sampling, plan.seeds[0]).values()
            for file in histories.values()
        ],
    output:
        f"{RESULTS}/figures/{{sampling}}/curves.png",
    log:
        f"{LOGS}/{{sampling}}/figures/curves.log",
    benchmark:
        f"{BENCHMARKS}/{{sampling}}/figures/curves.tsv"
    conda:
        ENVIRONMENT
    resources:
        **LIGHT,
    params:
        histories=lambda wildcards: plan.curves(wildcards.sampling),
        title=lambda wildcards: plan.curves_title(wildcards.sampling),
        code=code("unimri.evaluation.figures"),
    shell:
        "python -m unimri.cli curves {params.title:q} --histories {params.histories:q} --output {output:q}"
        " > {log:q} 2>&1"


rule contact_sheet:
    input:
        manifest=lambda wildcards: manifests([wildcards.anatomy]),
        shards=lambda wildcards: shards([wildcards.anatomy]),
    output:
        f"{RESULTS}/figures/data/{{anatomy}}.png",
    log:
        f"{LOGS}/contact_sheet/{{anatomy}}.log",
    benchmark:
        f"{BENCHMARKS}/contact_sheet/{{anatomy}}.tsv"
    conda:
        ENVIRONMENT
    resources:
        **LIGHT,
    params:
        data=f"{RESULTS}/data/{{anatomy}}",
        code=code("unimri.evaluation.figures"),
    shell:
        "python -m unimri.cli contact-sheet {params.data:q} --output {output:q} > {log:q} 2>&1"


rule mask_picture:
    input:
        f"{RESULTS}/masks/{{sampling}}.npz",
    output:
        f"{RESULTS}/masks/{{sampling}}.png",
    log:
        f"{LOGS}/mask_picture/{{sampling}}.log",
    benchmark:
        f"{BENCHMARKS}/mask_picture/{{sampling}}.tsv"
    conda:
        ENVIRONMENT
    resources:
        **LIGHT,
    params:
        code=code("unimri.evaluation.figures"),
    shell:
        "python -m unimri.cli masks picture {input:q} --output {output:q} > {log:q} 2>&1"


rule data_report:
    input:
        manifests=manifests(plan.anatomies),
        shards=shards(plan.anatomies),
    output:
        counts=f"{RESULTS}/tables/data.csv",
        page=f"{RESULTS}/tables/data.md",
        histograms=f"{RESULTS}/figures/data/histograms.png",
    log:
        f"{LOGS}/data_report.log",
    benchmark:
        f"{BENCHMARKS}/data_report.tsv"
    conda:
        ENVIRONMENT
    resources:
        **LIGHT,
    params:
        data=data_options(plan.anatomies),
        folder=subpath(output.counts, parent=True),
        origins=plan.provenance(),
        published=plan.published(),
        code=code("unimri.evaluation.data_report"),
    shell:
        "python -m unimri.cli data-report {params.data:q} --origins {params.origins:q} --output {params.folder:q}"
        " --figure {output.histograms:q} > {log:q} 2>&1"


rule report:
    input:
        plan.report_inputs(),
    output:
        report(
            f"{RESULTS}/report.html",
            caption="../report/page.rst",
            category="The whole on one page",
            labels={"what": "page"},
        ),
    log:
        f"{LOGS}/report.log",
    benchmark:
        f"{BENCHMARKS}/report.tsv"
    conda:
        ENVIRONMENT
    resources:
        **LIGHT,
    params:
        results=RESULTS,
        config=plan.whole(),
        code=lambda wildcards: plan.report_code(),
    shell:
        "python -m unimri.cli report {params.results:q} --config {params.config:q} --output {output:q} > {log:q} 2>&1"
