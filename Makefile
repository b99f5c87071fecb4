# make demo: sounds after about two minutes of training, from a fresh clone. make test, make lint: the checks of the project.
.DEFAULT_GOAL := help
.PHONY: help demo test test-slow test-long lint docs reference notebooks wheels measures models clean

DEMO_TIME ?= 2m
PYTHON ?= $(shell for name in python3.11 python3.12 python3; do \
	$$name -c 'import sys, ensurepip; sys.exit(sys.version_info < (3, 11))' >/dev/null 2>&1 && echo $$name && break; \
	done)
PLUGINS := $(patsubst %/pyproject.toml,%,$(wildcard plugins/*/pyproject.toml))
DECLARED := constraints.txt pyproject.toml $(PLUGINS:%=%/pyproject.toml)
INSTALL := .venv/bin/python -m pip install -c constraints.txt
PYTEST := OMP_NUM_THREADS=1 .venv/bin/python -m pytest

help:
	@echo "make demo       train on built-in drums for $(DEMO_TIME) and write a new sound of each kind"
	@echo "make test       the tests of the core and of the plugins"
	@echo "make test-slow  those that take more than a second or two each; CI runs them too"
	@echo "make test-long  those that take minutes each: before a release"
	@echo "make lint       ruff, mypy, and the list of words in tools/words.txt"
	@echo "make docs       these documents as a site in build/site, strictly: a link that leads nowhere fails"
	@echo "make reference  write docs/reference again, from the registries"
	@echo "make notebooks  run docs/notebooks and store what they show; a minute"
	@echo "make wheels     the core and the plugins as wheels, in dist"
	@echo "make measures   compute every measure on distributions of known truth again, into docs and core; over an hour, resumable"
	@echo "make models     train and evaluate the models that the plugins ship; hours, resumable (docs/pretrained.md)"
	@echo "make clean      remove caches and build folders; .venv and runs stay"

.venv/bin/pip:
	@[ -n "$(PYTHON)" ] || { \
		echo "gancore needs Python 3.11 or later with its venv module; found none. Name one: make PYTHON=..." >&2; exit 1; }
	$(PYTHON) -m venv .venv

# Without build isolation the constraints apply to the build, too, and nothing is downloaded twice.
.venv/.installed: $(DECLARED) | .venv/bin/pip
	@echo "Installing into .venv; the first time this takes minutes."
	$(INSTALL) --quiet --upgrade "setuptools>=77,<82" wheel
	$(INSTALL) --no-build-isolation -e . $(PLUGINS:%=-e ./%)
	@touch $@

.venv/.installed-test: $(DECLARED) | .venv/bin/pip
	@echo "Installing into .venv; the first time this takes minutes."
	$(INSTALL) --quiet --upgrade "setuptools>=77,<82" wheel
	$(INSTALL) --no-build-isolation -e ".[test]" $(PLUGINS:%=-e "./%[test]")
	@touch .venv/.installed $@

demo: .venv/.installed
	@set -eu; run=runs/demo-$$(date +%Y%m%d-%H%M%S); \
	.venv/bin/gancore train --domain audio --set model.conditional=true --time $(DEMO_TIME) --out $$run; \
	.venv/bin/gancore generate $$run --each-label -n 1 --out $$run/sounds --quiet; \
	if .venv/bin/gancore models --domain audio --json | grep -q '"id": "audio/percussion"'; then \
		.venv/bin/gancore generate audio/percussion --each-label -n 1 --out $$run/pretrained --quiet; \
		beside="beside them, the same of a model that was trained for longer: $$run/pretrained"; \
	fi; \
	echo; \
	echo "a sound of each of 8 kinds, its spectrogram, and overview.png: $$run/sounds"; \
	[ -z "$${beside:-}" ] || echo "$$beside"; \
	echo "Next (after: source .venv/bin/activate)"; \
	echo "  more sounds           gancore generate $$run -n 16 --seed 1 --out more"; \
	echo "  of one kind           gancore generate $$run -n 8 --label snare --out snares"; \
	echo "  from one to another   gancore generate $$run -n 2 --interpolate 8 --out between"; \
	echo "  your own recordings   gancore train --domain audio --data FOLDER --time 20m"; \
	echo "  curves and previews   tensorboard --logdir runs"

test: .venv/.installed-test
	$(PYTEST) -n 2

test-slow: .venv/.installed-test
	$(PYTEST) -n 2 -m "slow and not long"

test-long: .venv/.installed-test
	$(PYTEST) -n 2 -m long

lint: .venv/.installed-test
	.venv/bin/ruff check .
	.venv/bin/ruff format --check .
	.venv/bin/mypy
	.venv/bin/python tools/check_words.py

docs: .venv/.installed-test
	NO_MKDOCS_2_WARNING=true .venv/bin/mkdocs build
	@echo "the site: build/site/index.html; with its search: .venv/bin/python -m http.server -d build/site"

reference: .venv/.installed-test
	.venv/bin/python tools/site/reference.py

notebooks: .venv/.installed-test
	.venv/bin/python tools/site/notebooks.py

wheels: .venv/.installed-test
	rm -rf dist
	for place in . $(PLUGINS); do .venv/bin/python -m build --wheel --no-isolation --outdir dist $$place || exit 1; done

# The experiment fails if a measure is wrong without a note; the tables then show it.
measures: .venv/.installed
	-.venv/bin/gancore lab measures --out lab
	.venv/bin/python -m gancore_lab.measures_table lab/measures/result.json

# What is finished is not repeated. ONLY=text/captions-lm,audio/percussion makes these.
ONLY ?=
models: .venv/.installed
	.venv/bin/python benchmarks/pretrained.py --only "$(ONLY)"

clean:
	rm -rf build dist *.egg-info .mypy_cache .ruff_cache .pytest_cache .hypothesis $(PLUGINS:%=%/build) $(PLUGINS:%=%/dist) $(PLUGINS:%=%/*.egg-info)
	find . -path ./.venv -prune -o -type d -name __pycache__ -exec rm -rf {} +
