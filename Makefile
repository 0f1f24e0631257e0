# Two commands do all the set-up: `make demo` (the main job) and `make test`. Both keep their environment in .venv.

PYTHON ?= python3
VENV := .venv
BIN := $(VENV)/bin
STAMP := $(VENV)/.installed
TEST_WORKERS ?= 0

.PHONY: help demo test chaos vm check install format lock docs sample bench clean

help:
	@echo "make demo    build a PostgreSQL cluster, cut the primary's power, measure, write a report"
	@echo "make test    everything: check, then tests in real labs (as root: all of them, with a Docker engine of their own where none answers)"
	@echo "make check   format, lint, types, import contract, fast tests; no root needed"
	@echo "make chaos   runs are killed, interrupted and run out of disk, 100 times each, with faults of all families; half an hour or more"
	@echo "make vm      what this machine's kernel may lack (netem), in a virtual machine; as root, on Debian"
	@echo "make bench   the benchmarks under tests/benchmarks"
	@echo "make docs    write the generated references again"
	@echo "make lock    resolve the dependencies again into requirements.lock"

install: $(STAMP)

# A Debian without python3-venv has no ensurepip; as root it is installed, else we say so.
$(STAMP): requirements.lock pyproject.toml
	@$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 11))' || { echo "chaoskit needs Python 3.11 or newer; $(PYTHON) is $$($(PYTHON) -V 2>&1)"; exit 2; }
	@test -x $(BIN)/python || $(PYTHON) -m venv $(VENV) >/dev/null 2>&1 || { rm -rf $(VENV); \
	  if [ "$$(id -u)" = 0 ] && command -v apt-get >/dev/null; then apt-get -qq update && apt-get -qq install -y python3-venv >/dev/null && $(PYTHON) -m venv $(VENV); \
	  else echo "python3-venv is missing: apt-get install python3-venv"; exit 2; fi; }
	$(BIN)/python -m pip install --quiet --disable-pip-version-check --require-hashes -r requirements.lock
	$(BIN)/python -m pip install --quiet --disable-pip-version-check --no-deps --no-build-isolation -e .
	@touch $@

# Where it is set, every one of the thousands of processes that the tests start would compile all of chaoskit anew.
unexport PYTHONDONTWRITEBYTECODE

# What was just installed is written out first: flushed in the middle of the run, it would hold up the cluster's own flushes.
demo: install
	@sync
	@$(BIN)/chaoskit run experiments/patroni/primary-power-off.yaml

check: install
	$(BIN)/ruff format --check .
	$(BIN)/ruff check .
	$(BIN)/mypy
	$(BIN)/lint-imports --no-logo
	$(BIN)/pytest -n 2 -m "not lab and not root and not patroni and not slow and not docker" -q

# TEST_WORKERS=2 takes half an hour instead of almost one; one after another, no test is late for the other's sake.
# Properties are tried with five times as many examples as in a `make check` by itself.
test: export CHAOSKIT_TEST_DEPTH := deep
test: check
	@sh tests/install_packages.sh
	@sh tests/with_docker.sh $(BIN) $(BIN)/pytest -n $(TEST_WORKERS) --dist loadgroup -m "lab or root or patroni or slow or docker" -q

chaos: install
	CHAOSKIT_TEST_MOMENTS=100 CHAOSKIT_TEST_DOCKER_MOMENTS=25 $(BIN)/pytest tests/live/test_standing_lab.py tests/live/test_killed.py tests/live/test_docker_killed.py -q -s

vm: install
	@command -v qemu-system-x86_64 busybox >/dev/null || apt-get -qq install -y --no-install-recommends qemu-system-x86 busybox-static >/dev/null
	CHAOSKIT_VM_CACHE=$(CURDIR)/.vm $(BIN)/pytest -m vm -q -s

format: install
	$(BIN)/ruff format .
	$(BIN)/ruff check --fix .

docs: install
	$(BIN)/python -m chaoskit.surfaces.reference .

# The sample in reports/ comes from a real run; replace it with a new one.
sample: install
	rm -rf reports/sample
	$(BIN)/chaoskit run experiments/patroni/async-lagging-power-off.yaml --out reports/sample
	rm -rf reports/sample/spool
	@command -v chromium chromedriver >/dev/null || { echo "no chromium and chromedriver here: the README keeps its picture"; exit 0; }; \
	  PYTHONPATH=. $(BIN)/python tests/reporting/browser.py reports/sample/report.html docs/images/report.png

bench: install
	for bench in tests/benchmarks/bench_*.py; do PYTHONPATH=. $(BIN)/python $$bench || exit 1; done

lock: install
	@test -x $(BIN)/pip-compile || $(BIN)/python -m pip install --quiet --disable-pip-version-check pip-tools
	$(BIN)/pip-compile --quiet --extra dev --extra patroni --extra redis --extra mysql --extra dns --extra docker --extra pdf --generate-hashes --allow-unsafe --no-emit-index-url --no-emit-find-links \
	  --no-emit-trusted-host --no-header --strip-extras -o requirements.lock pyproject.toml requirements-build.in

clean:
	rm -rf $(VENV) build dist *.egg-info .mypy_cache .ruff_cache .pytest_cache
