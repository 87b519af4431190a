OTHER_MASKS = [name for name in plan.trained if name not in plan.samplings]


rule tables:
    input:
        scores=plan.scores(plan.samplings, plan.anatomies),
        other_masks=plan.scores(OTHER_MASKS, plan.anatomies),
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
                "best.csv",
                "table1.md",
                "table1_deviation.csv",
                "table1_published.csv",
                "table_s2.md",
                "table_s2_published.csv",
                "claims.md",
                "claims_orderings.csv",
                "parameters.md",
                "origins.json",
                "made.json",
                *(f"{study}.csv" for study in plan.studies()),
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
        studies=plan.study_columns(),
        other_masks=[
            f"--other-mask={file}" for file in plan.scores(OTHER_MASKS, plan.anatomies)
        ],
        published=plan.published(),
        made_from=plan.made_from(),
        code=metric_code(
            "unimri.evaluation.tables",
            "unimri.evaluation.paper",
            "unimri.models.folder",
            *CONDITIONINGS,
        ),
    shell:
        "python -m unimri.cli tables {input.scores:q} {params.methods:q} --anatomies {params.anatomies:q} --network {params.network:q}"
        " --settings {params.settings:q} --statistics {params.statistics:q} --layer {params.layer}"
        " --studies {params.studies:q} {params.other_masks:q} --made-from {params.made_from:q} --output {params.folder:q} > {log:q} 2>&1"


# Curves are drawn again when a method or metric alone is added: they are pictured with the rest.
rule figures:
    input:
        manifests=manifests(plan.anatomies),
        shards=shards(plan.anatomies),
        reconstructions=expand(
            f"{RESULTS}/{{{{sampling}}}}/reconstructions/{{anatomy}}.h5",
            anatomy=plan.anatomies,
        ),
        histories=lambda wildcards: [
            file
            for histories in plan.histories(wildcards.sampling, plan.seeds[0]).values()
            for file in histories.values()
        ],
        masks=expand(f"{RESULTS}/masks/{{name}}.npz", name=plan.masks("{sampling}")),
        studies=expand(f"{RESULTS}/tables/{{study}}.csv", study=plan.pictured()),
    output:
        expand(
            f"{RESULTS}/figures/{{{{sampling}}}}/{{name}}.png",
            name=[*plan.anatomies, "curves", *plan.pictured()],
        ),
        expand(
            f"{RESULTS}/figures/{{{{sampling}}}}/{{anatomy}}.npz",
            anatomy=plan.anatomies,
        ),
        expand(f"{RESULTS}/masks/{{name}}.png", name=plan.masks("{sampling}")),
    log:
        f"{LOGS}/{{sampling}}/figures.log",
    benchmark:
        f"{BENCHMARKS}/{{sampling}}/figures.tsv"
    wildcard_constraints:
        sampling="|".join(plan.samplings),
    conda:
        ENVIRONMENT
    resources:
        **LIGHT,
    params:
        task=lambda wildcards: plan.figures(wildcards.sampling),
        folder=subpath(output[0], parent=True),
        code=metric_code("unimri.evaluation.figures"),
    shell:
        "python -m unimri.cli figures --task {params.task:q} --output {params.folder:q} > {log:q} 2>&1"


rule data_report:
    input:
        manifests=manifests(plan.anatomies),
        shards=shards(plan.anatomies),
    output:
        counts=f"{RESULTS}/tables/data.csv",
        page=f"{RESULTS}/tables/data.md",
        figures=expand(
            f"{RESULTS}/figures/data/{{name}}.png",
            name=["histograms", *plan.anatomies],
        ),
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
        figures=f"{RESULTS}/figures/data",
        origins=plan.provenance(),
        published=plan.published(),
        code=code("unimri.evaluation.data_report"),
    shell:
        "python -m unimri.cli data-report {params.data:q} --origins {params.origins:q} --output {params.folder:q}"
        " --figures {params.figures:q} > {log:q} 2>&1"


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
