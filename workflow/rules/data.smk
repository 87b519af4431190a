rule simulate:
    output:
        directory(f"{RESULTS}/simulated/{{anatomy}}"),
    log:
        f"{LOGS}/simulate/{{anatomy}}.log",
    benchmark:
        f"{BENCHMARKS}/simulate/{{anatomy}}.tsv"
    conda:
        ENVIRONMENT
    params:
        settings=lambda wildcards: plan.simulation(wildcards.anatomy),
        seed=plan.config.seed,
        code=plan.code("unimri.data.simulate.simulate"),
    shell:
        "python -m unimri.cli simulate {params.seed} --settings {params.settings:q} --output {output:q} > {log:q} 2>&1"


rule prepare:
    input:
        raw=lambda wildcards: raw_folder(wildcards.anatomy),
    output:
        manifest=f"{RESULTS}/data/{{anatomy}}/manifest.csv",
        sources=f"{RESULTS}/data/{{anatomy}}/sources.csv",
        skipped=f"{RESULTS}/data/{{anatomy}}/skipped.csv",
        shards=expand(
            f"{RESULTS}/data/{{{{anatomy}}}}/{{shard}}",
            shard=plan.shards,
        ),
    log:
        f"{LOGS}/prepare/{{anatomy}}.log",
    benchmark:
        f"{BENCHMARKS}/prepare/{{anatomy}}.tsv"
    conda:
        ENVIRONMENT
    params:
        folder=subpath(output.manifest, parent=True),
        settings=lambda wildcards: plan.preparation(wildcards.anatomy),
        listing=lambda wildcards: plan.raw_listing(wildcards.anatomy),
        seed=plan.config.seed,
        code=plan.code("unimri.data.prepare"),
    shell:
        "python -m unimri.cli prepare {wildcards.anatomy} {input.raw:q} {params.seed} --settings {params.settings:q}"
        " --output {params.folder:q} > {log:q} 2>&1"


rule mask:
    output:
        mask=f"{RESULTS}/masks/{{rate}}x.npz",
        picture=f"{RESULTS}/masks/{{rate}}x.png",
    log:
        f"{LOGS}/mask/{{rate}}x.log",
    benchmark:
        f"{BENCHMARKS}/mask/{{rate}}x.tsv"
    conda:
        ENVIRONMENT
    params:
        settings=plan.mask(),
        code=plan.code("unimri.physics.masks"),
    shell:
        "python -m unimri.cli mask {wildcards.rate} --settings {params.settings:q} --output {output.mask:q}"
        " --picture {output.picture:q} > {log:q} 2>&1"
