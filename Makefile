# make demo     everything from nothing: environment, then the demo job
# make test     the tests                      make lint     ruff and mypy
# make prove    long proofs                    make report   the demo's report, written again
# make sprites  the drawings that the small models are trained on
# make clean    caches, outputs and the environment

PYTHON ?= python3
VENV   := .venv
BIN    := $(VENV)/bin
READY  := $(VENV)/.ready
SPRITES_PACKAGE := @lobehub/fluent-emoji-3d
SPRITES := out/sprites

.PHONY: env demo test lint prove report sprites clean

env: $(READY)

# Runs once, and again when what is to be installed has changed.
$(READY): pyproject.toml constraints.txt
	test -x $(BIN)/python || $(PYTHON) -m venv $(VENV)
	$(BIN)/python -m pip install -qq --disable-pip-version-check -c constraints.txt -e '.[dev]'
	touch $@

demo: env
	$(BIN)/unscene run jobs/demo.yaml

test: env
	$(BIN)/pytest -m 'not prove'

lint: env
	$(BIN)/ruff check .
	$(BIN)/mypy

prove: env
	$(BIN)/pytest -m prove

report: env
	$(BIN)/unscene report out/demo

sprites: $(SPRITES)/package.json

$(SPRITES)/package.json:
	mkdir -p $(SPRITES)
	cd $(SPRITES) && npm pack --silent $(SPRITES_PACKAGE)
	tar -xzf $(SPRITES)/*.tgz -C $(SPRITES) --strip-components=1
	rm $(SPRITES)/*.tgz

clean:
	rm -rf $(VENV) out .mypy_cache .ruff_cache .pytest_cache *.egg-info
	find . -name __pycache__ -type d -prune -exec rm -rf {} +
