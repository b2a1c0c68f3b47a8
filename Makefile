# Every target prepares what it needs: Python 3.11 or newer with pip, and make, are enough.
PYTHON ?= $(firstword $(shell command -v python3.11 python3.12 python3.13 python3.14 python3))
VENV := .venv
BIN := $(VENV)/bin
READY := $(VENV)/ready
ARGS ?=

.PHONY: demo test check bench lock clean

demo: $(READY)  ## show the main job on the offline Microsoft 365
	$(BIN)/python scripts/demo.py $(ARGS)

test: $(READY)  ## run the tests; a foreign mail program that is not installed is skipped by name
	$(BIN)/pytest -n 2 --dist loadfile $(ARGS)

check: $(READY)  ## format, lint, types, layers
	$(BIN)/ruff format --check .
	$(BIN)/ruff check .
	$(BIN)/mypy
	$(BIN)/lint-imports

bench: $(READY)  ## measure against Postfix, aiosmtpd and smtp-sink; ARGS=--quick for two minutes
	$(BIN)/python -m bench $(ARGS)

$(READY): requirements.lock pyproject.toml
	test -x $(BIN)/python || $(PYTHON) -m venv --without-pip $(VENV)
	$(PYTHON) -m pip --python $(BIN)/python install --quiet --require-hashes -r requirements.lock
	$(BIN)/python -m pip install --quiet --no-deps --no-build-isolation -e .
	touch $@

lock:  ## resolve the newest allowed versions again and write requirements.lock
	$(PYTHON) -m venv --without-pip $(VENV)-lock
	$(PYTHON) -m pip --python $(VENV)-lock/bin/python install --quiet uv
	$(VENV)-lock/bin/uv pip compile --quiet --universal --python-version 3.11 --all-extras --upgrade \
	    --generate-hashes --no-emit-index-url --no-annotate --no-header \
	    --output-file requirements.lock pyproject.toml packaging/build-tools.in
	rm -r $(VENV)-lock

clean:  ## remove the virtual environment and caches; installed peers stay
	rm -rf $(VENV) build dist .mypy_cache .pytest_cache .ruff_cache .import_linter_cache .hypothesis
