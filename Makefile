# make demo     everything from nothing: environment, then the demo job
# make test     the tests                      make lint     ruff, mypy and the layers
# make prove    long proofs                    make report   the demo's report, written again
# make sprites  the drawings that the small models are trained on
# make seedling train the small models anew: DEVICE=cuda WORLD=full where there is a GPU (models/README.md)
# make clean    caches, outputs and the environment

PYTHON ?= python3
VENV   := .venv
BIN    := $(VENV)/bin
READY  := $(VENV)/.ready
SPRITES_PACKAGE := @lobehub/fluent-emoji-3d
SPRITES := out/sprites

.PHONY: env demo test lint prove report sprites seedling clean

env: $(READY)

# Runs once, and again when what is to be installed has changed.
$(READY): pyproject.toml setup.py constraints.txt
	test -x $(BIN)/python || $(PYTHON) -m venv $(VENV)
	$(BIN)/python -m pip install -qq --disable-pip-version-check -c constraints.txt -e '.[dev]'
	touch $@

demo: env
	$(BIN)/unscene run demo
	@echo "next: source $(BIN)/activate    (then \`unscene\` is a command in this terminal)"

# Two processes, a file to one of them: its tests share what they set up, a whole demo job for instance. (Not by group:
# xdist 3.8 names groups in a way that pytest 9.2 does not see, and groups nothing.)
test: env
	$(BIN)/pytest -m 'not prove' -n 2 --dist loadfile --no-loadscope-reorder

lint: env
	$(BIN)/ruff check .
	$(BIN)/ruff format --check --quiet .
	$(BIN)/mypy
	$(BIN)/lint-imports --no-logo

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

DEVICE ?= cpu
WORLD  ?= calm
RUNS   := out/seedling-$(WORLD)
TRAIN   = $(BIN)/python -m models.training.$(1) --sprites $(SPRITES)/assets --world $(WORLD) --device $(DEVICE) \
          --work $(RUNS)/$(1) $(SPEED_$(DEVICE)_$(1))
# A GPU has room for larger batches, and so many scenes and steps a minute that minutes are enough.
SPEED_cuda_vae  := --batch 128 --scenes 60000 --minutes 4 --learning-rate 1.5e-3 --average 0.999 --compile
SPEED_cuda_unet := --batch 1024 --scenes 300000 --minutes 20 --average 0.9995 --compile
SPEED_cuda_sam  := --batch 256 --scenes 200000 --minutes 6
SPEED_cuda_clip := --batch 1024 --scenes 100000 --minutes 4
SPEED_cpu_unet  := --batch 12 --scenes 16000 --minutes 300 --learning-rate 1.6e-3 --average 0.999 --workers 2
SPEED_cpu_sam   := --scenes 16000 --minutes 120 --workers 2
SPEED_cpu_clip  := --batch 64 --scenes 8000 --width 128 --layers 4 --minutes 90 --warm-up 30 --learning-rate 1.5e-3

seedling: env sprites
	$(call TRAIN,vae) --out $(RUNS)/vae/final
	$(call TRAIN,unet) --vae $(RUNS)/vae/final --out models/seedling/base
	$(call TRAIN,sam) --out models/seedling/sam
	$(call TRAIN,clip) --vae $(RUNS)/vae/final --out models/seedling/clip
	$(BIN)/python -m models.training.demo_bucket --sprites $(SPRITES)/assets --world $(WORLD) --out demo
	$(BIN)/python -m models.training.protocol_bucket --sprites $(SPRITES)/assets --world $(WORLD) --out demo/protocol
	$(BIN)/python -m models.training.measure --sprites $(SPRITES)/assets --world $(WORLD) --seedling models/seedling \
	    --sheets models/sheets

clean:
	rm -rf $(VENV) out build .mypy_cache .ruff_cache .pytest_cache .import_linter_cache *.egg-info
	find . -name __pycache__ -type d -prune -exec rm -rf {} +
