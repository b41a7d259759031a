# The verbs of this repository. `make help` lists them.
#
# Set-up is remembered by stamps in .venv; an unfinished one is thrown away and made anew.

VENV := .venv
PYTHON ?=
BIN := $(VENV)/bin
PIP := PIP_USER=0 PIP_DISABLE_PIP_VERSION_CHECK=1 $(BIN)/python -m pip
LOCK := uv pip compile pyproject.toml --quiet --universal --python-version 3.11 \
	--generate-hashes --extra build --extra embedded --custom-compile-command "make lock"

# A moved clone, a vanished Python and an interrupted set-up all show here, before any stamp is believed.
READY := $(shell sh scripts/venv.sh check $(VENV))

.DEFAULT_GOAL := help
.PHONY: help run test check format bench docs client lock clean

help: ## list the verbs
	@awk -F ':.*## ' '/^[a-z]+:.*## / {printf "  make %-8s %s\n", $$1, $$2}' Makefile

run: $(VENV)/.run ## start the server on http://127.0.0.1:8585 (ARGS="..." is passed on)
	@exec $(BIN)/hivemind serve $(ARGS)

test: $(VENV)/.dev $(VENV)/.browser ## run the tests (ARGS="..." is passed on)
	@exec $(BIN)/python -m pytest $(ARGS)

check: $(VENV)/.dev ## lint, formatting, types, layers
	$(BIN)/ruff check
	$(BIN)/ruff format --check
	$(BIN)/mypy
	$(BIN)/lint-imports

format: $(VENV)/.dev ## rewrite the code in the house's format
	$(BIN)/ruff check --fix
	$(BIN)/ruff format

bench: $(VENV)/.dev ## measure the hot paths
	@missed=0; for bench in bench/*.py; do echo "== $$bench"; $(BIN)/python $$bench || missed=1; done; exit $$missed

docs: $(VENV)/.dev ## write the generated reference pages
	@for page in settings errors cli metrics routes actions; do $(BIN)/hivemind config reference $$page > docs/reference/$$page.md.new \
		&& mv docs/reference/$$page.md.new docs/reference/$$page.md || exit 1; done

client: $(VENV)/.dev ## make the client without a loop from the one with a loop
	$(BIN)/python scripts/client.py

lock: $(VENV)/.dev ## resolve the dependencies anew and pin them by hash (UPGRADE=1 takes newer ones)
	@command -v uv >/dev/null || $(PIP) install --quiet uv
	PATH="$(CURDIR)/$(BIN):$$PATH" $(LOCK) $(if $(UPGRADE),--upgrade) -o requirements/run.txt
	PATH="$(CURDIR)/$(BIN):$$PATH" $(LOCK) $(if $(UPGRADE),--upgrade) \
		--extra dev --constraint requirements/run.txt -o requirements/dev.txt

clean: ## throw away .venv and caches (never data or secrets)
	rm -rf $(VENV) .mypy_cache .ruff_cache .pytest_cache .import_linter_cache .hypothesis *.egg-info

$(VENV)/.made: scripts/venv.sh
	@PYTHON="$(PYTHON)" sh scripts/venv.sh make $(VENV)

# dev.txt holds all of run.txt, so whoever has run the tests can start the server.
$(VENV)/.run: $(VENV)/.made requirements/run.txt pyproject.toml
	@test -e $(VENV)/.dev -a $(VENV)/.dev -nt requirements/run.txt -a $(VENV)/.dev -nt pyproject.toml \
		|| sh scripts/venv.sh install $(VENV) requirements/run.txt
	@touch $@

# Tests of the pages run in Chromium, and are skipped where there is none.
$(VENV)/.browser: $(VENV)/.dev scripts/venv.sh
	@sh scripts/venv.sh browser $(VENV)
	@touch $@

$(VENV)/.dev: $(VENV)/.made requirements/dev.txt pyproject.toml
	@sh scripts/venv.sh install $(VENV) requirements/dev.txt
	@touch $@
