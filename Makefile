# `make smoke`: the whole chain in two minutes, into smoke/. `make reproduce`: the whole experiment of config.yaml, from
# raw files to the tables, into results/. `make test`: lint, types, tests. `make docs`: the documentation as a site, in
# site/. `make setup`: .venv alone, which the others make first.
# PYTHON can name another Python. TORCH can name another build of the same version, with pip's options for where it lies;
# see README.md for a GPU.
export PATH := $(CURDIR)/.venv/bin:$(PATH)
PYTHON ?= python3
TORCH ?= $(shell grep '^torch==' envs/requirements.lock)
LOCK = pyproject.toml workflow/executor/pyproject.toml envs/requirements.lock

# Compiling all of torch and the others takes longer than fetching them, and few of their modules are ever loaded: Python
# compiles those when it first does, if the environment lets it.
unexport PYTHONDONTWRITEBYTECODE
# Progress for people, and errors alone for logs.
INSTALL = .venv/bin/python -m pip install --no-compile --disable-pip-version-check $(if $(MAKE_TERMOUT),,--quiet)

define CHECK
import sys; here = sys.version_info[:2]; \
sys.exit(0 if (3, 11) <= here <= (3, 13) else "unimri runs with Python 3.11 to 3.13, and %s is %d.%d; name another, as in \
make PYTHON=python3.11" % ((sys.executable,) + here))
endef

.PHONY: setup smoke reproduce test docs
setup: .venv/.installed

# torch first and alone, as TORCH says, so that no other package chooses its build.
.venv/.installed: $(LOCK)
	@command -v $(PYTHON) >/dev/null || { echo "$(PYTHON) is not there; name a Python 3.11 to 3.13, as in" \
	    "make PYTHON=/usr/bin/python3.11" >&2; exit 1; }
	@$(PYTHON) -c '$(CHECK)'
	@echo "Installing into .venv (1.5 GB): $(TORCH), 190 MB to download for a CPU and gigabytes with CUDA, and 100 other" \
	    "packages, 200 MB."
	$(PYTHON) -m venv .venv
	$(INSTALL) $(TORCH)
	$(INSTALL) -c envs/requirements.lock -e . -e workflow/executor
	touch $@

# What only tests and documentation take.
.venv/.installed-extras: .venv/.installed
	@echo "Installing what tests and documentation take: 60 packages, 130 MB to download."
	$(INSTALL) -c envs/requirements.lock -e '.[test,docs,export]'
	touch $@

smoke: setup
	snakemake --configfile config.yaml workflow/config/smoke.yaml
	unimri show config.yaml workflow/config/smoke.yaml

reproduce: setup
	snakemake
	unimri show

test: .venv/.installed-extras
	ruff check .
	ruff format --check .
	snakefmt --check Snakefile workflow
	mypy & types=$$!; pytest -n auto --dist loadgroup --no-loadscope-reorder && wait $$types

docs: .venv/.installed-extras
	mkdocs build
