# SPDX-License-Identifier: Apache-2.0
# The two commands that matter: `make demo` and `make test`. Everything they need is set up on the way.

PYTHON ?= $(firstword $(foreach p,python3.12 python3.11 python3,$(shell $(p) -c 'import sys; sys.exit(sys.version_info[:2] not in ((3,11),(3,12)))' >/dev/null 2>&1 && echo $(p))))
VENV := .venv
BIN := $(VENV)/bin
# pip would compile twelve thousand modules, of which a few are ever imported: --no-compile leaves that to the import.
SEEDS ?= 1000
FROM ?= 1
JOBS ?= 2
# A fresh clone has no bytecode: each of thousands of processes would compile anew all that it imports.
unexport PYTHONDONTWRITEBYTECODE
# Tests at a time: one of three waits for its network or its browser while two use both cores.
TESTERS ?= 3

.PHONY: help tour setup setup-dev setup-web setup-cards setup-scorecards setup-debian web-sizes demo test check check-types check-rest format bench sim proto lock fuzz crash trace-graph clean
help:  ## list the targets
	@grep -hE '^[a-z-]+:.*##' $(MAKEFILE_LIST) | sed 's/:.*##/\t/' | expand -t 14

$(VENV)/made:
	@test -n "$(PYTHON)" || { echo "zhixin needs CPython 3.11 or 3.12; none was found on PATH. Install one, or say: make PYTHON=/path/to/python3.12" >&2; exit 1; }
	$(PYTHON) -m venv $(VENV)
	@touch $@

$(VENV)/runtime: $(VENV)/made requirements/runtime.txt pyproject.toml
	@echo "Installing what the product needs into $(VENV), hash-checked (once; a minute or so) ..."
	$(BIN)/pip install --quiet --no-compile --disable-pip-version-check --require-hashes --only-binary :all: -r requirements/runtime.txt
	$(BIN)/pip install --quiet --no-compile --disable-pip-version-check --no-deps --no-build-isolation --no-index -e .
	@touch $@

$(VENV)/dev: $(VENV)/runtime requirements/dev.txt
	@echo "Installing the tools for tests and checks into $(VENV) (once) ..."
	$(BIN)/pip install --quiet --no-compile --disable-pip-version-check --require-hashes --only-binary :all: -r requirements/dev.txt
	@touch $@

$(VENV)/cards: $(VENV)/runtime requirements/cards.txt
	@command -v cc >/dev/null && command -v swig >/dev/null && test -e /usr/include/PCSC/winscard.h || { echo "Readers of smart cards need a C compiler, swig and libpcsclite-dev to build pyscard: apt-get install --no-install-recommends gcc libc6-dev swig libpcsclite-dev" >&2; exit 1; }
	@echo "Building pyscard for readers of smart cards, hash-checked (once; some seconds) ..."
	$(BIN)/pip install --quiet --no-compile --disable-pip-version-check --no-deps --no-build-isolation --require-hashes --no-binary :all: -r requirements/cards.txt
	@touch $@

$(VENV)/scorecards/made: $(VENV)/made requirements/scorecards.txt
	@echo "Installing an independent scorecard library for the tests of credit's monitor (once; a minute) ..."
	@$(BIN)/python -m venv $(VENV)/scorecards
	@sed -n '/^setuptools==/,/[^\\]$$/p' requirements/scorecards.txt > $(VENV)/scorecards/builder.txt
	@$(VENV)/scorecards/bin/pip install --quiet --no-compile --disable-pip-version-check --no-deps --require-hashes -r $(VENV)/scorecards/builder.txt
	@$(VENV)/scorecards/bin/pip install --quiet --no-compile --disable-pip-version-check --no-deps --no-build-isolation --require-hashes -r requirements/scorecards.txt
	@touch $@

web/node_modules/made: web/package.json web/verify/package.json web/package-lock.json web/.npmrc
	@command -v node >/dev/null && command -v npm >/dev/null || { echo "zhixin's web parts need Node.js 20 or newer with npm on PATH" >&2; exit 1; }
	cd web && npm ci --silent
	@touch $@

WEB_SOURCES := $(shell find web -name node_modules -prune -o -type f \( -name '*.ts' -o -name '*.mjs' -o -name '*.css' -o -name '*.svg' -o -name '*.json' \) -not -path '*/test/*' -not -path '*/dist/*' -print)
service/static/manifest.json: web/node_modules/made $(WEB_SOURCES)
	@echo "Building what the pages load (types checked, sizes within their limits) ..."
	node web/build.mjs --quiet

setup: $(VENV)/runtime  ## make .venv with what the product needs, hash-checked

setup-dev: $(VENV)/dev  ## the same, with the tools for tests and checks

service/fonts/common/made: service/common_fonts.py web/package-lock.json $(VENV)/runtime | service/static/manifest.json
	@echo "Cutting the fonts of printed matter to what nearly every document needs (once; some seconds) ..."
	$(BIN)/python -m service.common_fonts
	@touch $@

setup-web: service/static/manifest.json service/fonts/common/made  ## the web parts: tools hash-checked, pages' scripts and styles built

setup-cards: $(VENV)/cards  ## what readers of smart cards need: pyscard, built from source, hash-checked

setup-scorecards: $(VENV)/scorecards/made  ## judges of credit's monitor, in an environment of their own

setup-debian:  ## as root: what the tests need of Debian (tests/setup_debian); otherwise name what is missing
	@tests/setup_debian

tour: setup-dev setup-web setup-debian setup-cards  ## take the pictures of the README's tour anew, from the running product
	$(BIN)/python -m pytest -q tests/browser/test_desk.py tests/browser/test_desk_card_journey.py tests/browser/test_shopper_page.py \
		tests/browser/test_wallet.py tests/browser/test_credit_journey.py tests/browser/test_kiosk_screen.py
	$(BIN)/python tests/make_tour.py

demo: setup setup-web  ## run the demo and stay up; ONCE=1 ends with 0 only if each step held
	$(BIN)/zhixin demo run $(if $(ONCE),--once)

test:  ## every test, 1,000 simulator seeds included
	@$(MAKE) --no-print-directory -j $(JOBS) setup-dev setup-web setup-debian setup-scorecards
	@$(MAKE) --no-print-directory setup-cards
	cd web/verify && npm test --silent
	@tests/in_memory $(BIN)/python -m pytest -n $(TESTERS) --dist worksteal tests
	$(BIN)/python -m sim run --from $(FROM) --seeds $(SEEDS) --jobs $(JOBS)

web-sizes: web/node_modules/made  ## build the web parts anew and print what each page loads
	node web/build.mjs

check: setup-dev web/node_modules/made  ## lint, types, layering, generated code fresh
	@$(MAKE) --no-print-directory -j $(JOBS) check-types check-rest

check-types:
	$(BIN)/mypy

check-rest:
	$(BIN)/ruff format --check .
	$(BIN)/ruff check .
	$(BIN)/lint-imports
	$(BIN)/python tests/check_proto_fresh.py
	cd web && node_modules/.bin/tsc --noEmit -p .
	cd web/verify && npm run --silent check

format: setup-dev  ## format and mend what ruff can
	$(BIN)/ruff format .
	$(BIN)/ruff check --fix .

bench: setup  ## measure log, tree, signatures, receipts; then the network under load
	$(BIN)/python -m benchmarks

sim: setup-dev  ## many simulated disasters: SEEDS=20000 FROM=1 JOBS=2; appends to docs/results/sim.tsv
	$(BIN)/python -m sim run --from $(FROM) --seeds $(SEEDS) --jobs $(JOBS) --record docs/results/sim.tsv

fuzz: setup-dev  ## coverage-guided fuzzing of each decoder, SECONDS_EACH=60 JOBS=2; appends to docs/results/fuzz.tsv
	$(BIN)/python -m tests.fuzz.run --seconds $(or $(SECONDS_EACH),60) --jobs $(JOBS) --record

crash: setup-dev  ## kill real nodes under load: KILLS=500 ALL=50 SEED=7 SECONDS_MAX=600 PRUNING=2; appends to docs/results/crash.tsv
	$(BIN)/python -m tests.crash.run --kills $(or $(KILLS),100) --all $(or $(ALL),10) $(if $(SEED),--seed $(SEED)) $(if $(SECONDS_MAX),--seconds $(SECONDS_MAX)) $(if $(PRUNING),--pruning $(PRUNING)) $(if $(DIRECTORY),--directory $(DIRECTORY)) --record

trace-graph: setup-dev  ## trace goods through a season of events: EVENTS=1000000; appends to docs/results/trace_graph.tsv
	$(BIN)/python -m benchmarks.trace_graph --events $(or $(EVENTS),1000000) --folder .artefacts/trace-graph --record

proto: setup-dev  ## generate the *_pb2 modules anew
	$(BIN)/python tests/check_proto_fresh.py --write

LOCK := --generate-hashes --no-header --no-annotate --python-version 3.11 --python-platform x86_64-manylinux_2_28 --only-binary :all: --quiet
UNUSED := formulaic interface-meta patsy statsmodels wrapt
lock:  ## pin the dependencies anew, for CPython 3.11 and 3.12; needs uv on PATH, and UPGRADE=1 takes newer versions
	@command -v uv >/dev/null || { echo "make lock needs uv (https://docs.astral.sh/uv) on PATH" >&2; exit 1; }
	uv pip compile pyproject.toml $(if $(UPGRADE),--upgrade) --group runtime-build $(LOCK) -o requirements/runtime.txt
	uv pip compile pyproject.toml $(if $(UPGRADE),--upgrade) --group runtime-build --group dev --group fuzz -c requirements/runtime.txt $(LOCK) -o requirements/dev.txt
	uv pip compile $(if $(UPGRADE),--upgrade) --group cards $(filter-out --only-binary :all:,$(LOCK)) -o requirements/cards.txt
	uv pip compile $(if $(UPGRADE),--upgrade) --group scorecards $(LOCK) --no-binary scorecardpy $(UNUSED:%=--no-emit-package %) -o requirements/scorecards.txt

clean:  ## remove the virtual environment and caches
	rm -rf $(VENV) web/node_modules service/static service/static.fresh service/fonts .artefacts build dist *.egg-info .pytest_cache .mypy_cache .ruff_cache .hypothesis
