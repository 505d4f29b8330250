# supportrelay: install run run-hubspot test check soak bench fuzz. Everything made here lies in .venv/ and build/.
# Needs make, Python 3.11 or later with venv, and for the first run a package index that pip can reach.

.PHONY: compiler install run run-hubspot test check checks soak bench fuzz format clean
.DEFAULT_GOAL := install
# The tests start the daemon and its commands some hundred times; compiling them anew each time took a third of a start.
unexport PYTHONDONTWRITEBYTECODE

PYTHON ?= $(shell for python in python3 python3.11 python3.12 python3.13 python3.14; do \
	$$python -c 'import sys; sys.exit(sys.version_info < (3, 11))' 2>/dev/null && { command -v $$python; break; }; done)
BIN := .venv/bin
# Journeys wait much of their time: three files at a time, whatever the number of cores.
SIDE_BY_SIDE := -n 3 --dist loadfile
PIP := $(BIN)/python -m pip --quiet --disable-pip-version-check --no-input

install: .venv/.installed ## .venv with .venv/bin/supportrelay, by venv and pip only

run: .venv/.installed ## the demo: relay on 127.0.0.1:8025, web on 127.0.0.1:8080, outgoing mail kept in an outbox
	@$(BIN)/python config/demo.py

run-hubspot: .venv/.installed-for-tests ## the same with owners and tickets at HubSpot: a double of it, on 127.0.0.1:8900
	@$(BIN)/python config/demo_hubspot.py

test: .venv/.installed-for-tests compiler ## the whole suite; it needs a C compiler and gets it where it may
	$(BIN)/pytest -q $(SIDE_BY_SIDE) $(TESTS)

check: .venv/.installed-for-tests compiler ## format, lint, types, tests and a minute of soak beside them: what CI runs
	@mkdir -p build
	@PYTHONPATH=tests $(BIN)/python -m soak 60 >build/soak.log 2>&1 & soak=$$!; \
	trap 'kill $$soak 2>/dev/null' EXIT; \
	$(MAKE) --no-print-directory checks || exit 1; \
	wait $$soak; code=$$?; cat build/soak.log; exit $$code

checks: .venv/.installed-for-tests compiler
	$(BIN)/ruff format --check --quiet .
	$(BIN)/ruff check --quiet .
	$(BIN)/mypy
	$(BIN)/pytest -q $(SIDE_BY_SIDE)

soak: .venv/.installed-for-tests ## ten minutes of kill -9 under load with a faulty next hop; SOAK=60 for one
	@PYTHONPATH=tests $(BIN)/python -m soak $(SOAK)

compiler: # some tests put a library between the relay and its disk (tests/faulty_disk.c)
	@command -v cc >/dev/null || { [ "$$(id -u)" = 0 ] && command -v apt-get >/dev/null && \
		echo 'supportrelay: installing a C compiler for the tests' >&2 && apt-get update -qq && \
		DEBIAN_FRONTEND=noninteractive apt-get install -y -qq --no-install-recommends gcc libc6-dev >&2; } || \
		echo 'supportrelay: NO C COMPILER: the tests with a faulty disk will fail (Debian: apt-get install gcc libc6-dev)' >&2

format: .venv/.installed-for-tests ## what `make check` asks of the format, done
	$(BIN)/ruff format --quiet .
	$(BIN)/ruff check --quiet --fix .

bench: .venv/.installed-for-tests ## beside Postfix's plain relay; BENCH='--only throughput --rounds 2' for a part
	@PYTHONPATH=tests $(BIN)/python -m bench $(BENCH)

fuzz: .venv/.installed-for-fuzz ## any octets for all that reads and rewrites mail; FUZZ='copy --seconds 600' for one target
	@PYTHONPATH=tests $(BIN)/python -m fuzz $(FUZZ)

clean: ## away with all that was made; the demo's mail and tickets too
	rm -rf .venv build src/*.egg-info

.venv/.made:
	@test -n "$(PYTHON)" || { echo 'This machine lacks Python 3.11 or later (Debian: apt-get install python3 python3-venv).' >&2; exit 1; }
	@$(PYTHON) -c 'import venv, ensurepip' 2>/dev/null || { echo 'This machine lacks python3-venv (Debian: apt-get install python3-venv).' >&2; exit 1; }
	@$(PYTHON) -c 'import ssl, sqlite3' 2>/dev/null || { echo 'This machine lacks ssl or sqlite3 in $(PYTHON) (Debian: apt-get install libpython3-stdlib).' >&2; exit 1; }
	@echo 'supportrelay: making .venv with $(PYTHON)' >&2
	@$(PYTHON) -m venv .venv
	@touch $@

.venv/.installed: pyproject.toml | .venv/.made
	@echo 'supportrelay: installing into .venv (once; about a minute)' >&2
	@$(PIP) install --editable .
	@touch $@

.venv/.installed-for-tests: pyproject.toml | .venv/.made
	@echo 'supportrelay: installing what the tests need into .venv (once)' >&2
	@$(PIP) install --editable '.[test,dev]'
	@touch .venv/.installed $@

.venv/.installed-for-fuzz: pyproject.toml | .venv/.made
	@echo 'supportrelay: installing the fuzzer into .venv (once)' >&2
	@$(PIP) install --editable '.[test,dev,fuzz]'
	@touch .venv/.installed .venv/.installed-for-tests $@
