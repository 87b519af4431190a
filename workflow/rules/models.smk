rule model:
    input:
        manifests=manifests(plan.anatomies),
        shards=shards(plan.anatomies),
        mask=f"{RESULTS}/masks/{{sampling}}.npz",
        base=lambda wildcards: plan.released_files(wildcards.sampling),
        scores=lambda wildcards: plan.scores([wildcards.sampling], plan.anatomies),
        raw=[raw_folder(anatomy) for anatomy in plan.anatomies],
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
        scores=f"{RESULTS}/{{sampling}}/scores",
        seed=plan.seeds[0],
        data=data_options(plan.anatomies),
        task=lambda wildcards: plan.model_task(wildcards.sampling),
        scans=plan.scans(),
        code=code("unimri.deploy.build", *plan.conditionings(["proposed"])),
    shell:
        "python -m unimri.cli models build {params.model:q} {input.mask:q} --task {params.task:q} {params.data:q}"
        " --scores {params.scores:q} --seed {params.seed} --scans {params.scans:q} --output {output:q} > {log:q} 2>&1"
