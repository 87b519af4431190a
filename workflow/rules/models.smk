rule model:
    input:
        manifests=manifests(plan.anatomies),
        shards=shards(plan.anatomies),
        mask=f"{RESULTS}/masks/{{sampling}}.npz",
        base=lambda wildcards: plan.released_files(wildcards.sampling),
        scores=lambda wildcards: plan.released_scores(wildcards.sampling),
    output:
        directory(f"{RESULTS}/models/{{sampling}}"),
    log:
        f"{LOGS}/{{sampling}}/model.log",
    benchmark:
        f"{BENCHMARKS}/{{sampling}}/model.tsv"
    conda:
        ENVIRONMENT
    resources:
        **SCORING,
    params:
        model=lambda wildcards: plan.released(wildcards.sampling),
        scores=lambda wildcards: f"{RESULTS}/{wildcards.sampling}/seed{plan.seeds[0]}/metrics",
        data=data_options(plan.anatomies),
        task=lambda wildcards: plan.model_task(wildcards.sampling),
        code=code("unimri.deploy.build", *plan.conditionings(["proposed"])),
    shell:
        "python -m unimri.cli models build {params.model:q} {input.mask:q} --task {params.task:q} {params.data:q}"
        " --scores {params.scores:q} --output {output:q} > {log:q} 2>&1"
