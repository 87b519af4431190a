rule simulate:
    output:
        directory(f"{RESULTS}/simulated/{{anatomy}}"),
    log:
        f"{LOGS}/simulate/{{anatomy}}.log",
    benchmark:
        f"{BENCHMARKS}/simulate/{{anatomy}}.tsv"
    conda:
        ENVIRONMENT
    resources:
        **READING,
    params:
        settings=lambda wildcards: plan.simulation(wildcards.anatomy),
        seed=plan.config.seed,
        code=code("unimri.data.simulate"),
    shell:
        "python -m unimri.cli simulate {params.seed} --settings {params.settings:q} --output {output:q} > {log:q} 2>&1"


# Standard error of the two rules that read scans names files, and goes to the terminal. What goes to the log does not.
rule index:
    input:
        raw=lambda wildcards: raw_folder(wildcards.anatomy),
        splits=lambda wildcards: plan.splits(wildcards.anatomy),
    output:
        expand(f"{PRIVATE}/{{{{anatomy}}}}/{{shard}}.json", shard=plan.shards),
    log:
        f"{LOGS}/index/{{anatomy}}.log",
    benchmark:
        f"{BENCHMARKS}/index/{{anatomy}}.tsv"
    conda:
        ENVIRONMENT
    resources:
        **READING,
    params:
        folder=subpath(output[0], parent=True),
        settings=lambda wildcards: plan.index(wildcards.anatomy),
        listing=lambda wildcards: plan.raw_listing(wildcards.anatomy),
        seed=plan.config.seed,
        code=code("unimri.data.index"),
    shell:
        "python -m unimri.cli index {wildcards.anatomy} {input.raw:q} {params.seed} --settings {params.settings:q}"
        " --output {params.folder:q} 2>&1 > {log:q} | cat >&2"


rule shard:
    input:
        raw=lambda wildcards: raw_folder(wildcards.anatomy),
        index=f"{PRIVATE}/{{anatomy}}/{{shard}}.json",
    output:
        shard=f"{RESULTS}/data/{{anatomy}}/{{shard}}.h5",
        content=f"{RESULTS}/data/{{anatomy}}/{{shard}}.json",
        notes=notes(f"{RESULTS}/data/{{anatomy}}/{{shard}}.json"),
    log:
        f"{LOGS}/shard/{{anatomy}}/{{shard}}.log",
    benchmark:
        f"{BENCHMARKS}/shard/{{anatomy}}/{{shard}}.tsv"
    conda:
        ENVIRONMENT
    resources:
        **READING,
    params:
        settings=lambda wildcards: plan.shard(wildcards.anatomy),
        code=code("unimri.data.prepare"),
    shell:
        "python -m unimri.cli shard {input.index:q} {input.raw:q} --settings {params.settings:q}"
        " --output {output.shard:q} 2>&1 > {log:q} | cat >&2"


rule manifest:
    input:
        lambda wildcards: expand(
            f"{RESULTS}/data/{wildcards.anatomy}/{{shard}}.json", shard=plan.shards
        ),
    output:
        manifest=f"{RESULTS}/data/{{anatomy}}/manifest.csv",
        sources=f"{RESULTS}/data/{{anatomy}}/sources.csv",
        skipped=f"{RESULTS}/data/{{anatomy}}/skipped.csv",
        notes=notes(
            f"{RESULTS}/data/{{anatomy}}/manifest.csv",
            f"{RESULTS}/data/{{anatomy}}/sources.csv",
            f"{RESULTS}/data/{{anatomy}}/skipped.csv",
        ),
    log:
        f"{LOGS}/manifest/{{anatomy}}.log",
    benchmark:
        f"{BENCHMARKS}/manifest/{{anatomy}}.tsv"
    conda:
        ENVIRONMENT
    resources:
        **LIGHT,
    params:
        folder=subpath(output.manifest, parent=True),
        settings=as_json(plan.config.preparation.fractions),
        seed=plan.config.seed,
        code=code("unimri.data.prepare"),
    shell:
        "python -m unimri.cli manifest {input:q} {params.seed} --settings {params.settings:q}"
        " --output {params.folder:q} > {log:q} 2>&1"


rule mask:
    output:
        mask=f"{RESULTS}/masks/{{sampling}}.npz",
        notes=notes(f"{RESULTS}/masks/{{sampling}}.npz"),
    log:
        f"{LOGS}/mask/{{sampling}}.log",
    benchmark:
        f"{BENCHMARKS}/mask/{{sampling}}.tsv"
    conda:
        ENVIRONMENT
    resources:
        **LIGHT,
    params:
        acceleration=lambda wildcards: plan.acceleration(wildcards.sampling),
        settings=lambda wildcards: plan.mask(wildcards.sampling),
        code=code("unimri.physics.masks"),
    shell:
        "python -m unimri.cli masks draw {params.acceleration} --settings {params.settings:q} --output {output.mask:q} > {log:q} 2>&1"
