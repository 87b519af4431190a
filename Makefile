# `make reproduce`: the whole experiment of config.yaml, from raw files to the tables. `make test`: lint, types,
# tests. `make docs`: the documentation as a site, in site/.
# TORCH can name another build of the same version, with pip's options for where it lies; see README.md for a GPU.
export PATH := $(CURDIR)/.venv/bin:$(PATH)
PYTHON ?= python3
TORCH ?= $(shell grep '^torch==' envs/requirements.lock)

.PHONY: reproduce test docs setup
setup: .venv/.installed

# torch first and alone, as TORCH says, so that no other package chooses its build.
.venv/.installed: pyproject.toml workflow/executor/pyproject.toml envs/requirements.lock
	$(PYTHON) -m venv .venv
	.venv/bin/python -m pip install --quiet --disable-pip-version-check $(TORCH)
	.venv/bin/python -m pip install --quiet --disable-pip-version-check -c envs/requirements.lock -e '.[test,docs,export]' -e workflow/executor
	touch $@

reproduce: setup
	snakemake
	unimri show

test: setup
	ruff check .
	ruff format --check .
	snakefmt --check Snakefile workflow
	mypy & types=$$!; pytest -n auto --dist loadgroup --no-loadscope-reorder && wait $$types

docs: setup
	mkdocs build
