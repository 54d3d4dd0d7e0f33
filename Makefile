# make demo     everything from nothing: environment, then the demo job
# make test     the tests                      make lint     ruff, mypy and the layers
# make prove    long proofs                    make report   the demo's report, written again
# make chaos    a night of faults, counted: 300 scenes, 250 faults, a quarter of an hour
# make seedling train the small models anew in out/seedling: DEVICE=cuda where there is a GPU (models/README.md)
# make clean    caches, outputs and the environment

PYTHON ?= python3
VENV   := .venv
BIN    := $(VENV)/bin
READY  := $(VENV)/.ready

.PHONY: env demo test lint prove chaos report seedling clean

env: $(READY)

# Runs once, and again when what is to be installed has changed. pip would compile 20,000 files on one core, for a
# minute; some of them are no Python of ours, and need not compile.
$(READY): pyproject.toml setup.py constraints.txt
	@echo "installing into $(VENV): 7 GB, most of it PyTorch's CUDA libraries; a few minutes, in silence"
	test -x $(BIN)/python || $(PYTHON) -m venv $(VENV)
	$(BIN)/python -m pip install -qq --disable-pip-version-check --no-compile -c constraints.txt -e '.[dev]'
	$(BIN)/python -m compileall -qq -j 0 "$(abspath $(VENV))/lib" || true
	touch $@

demo: env
	UNSCENE_AGAIN='make demo' $(BIN)/unscene run demo
	@echo "next: source $(BIN)/activate    (makes \`unscene\` a command here)"

# Two processes, a file to one of them: its tests share what they set up, a whole demo job for instance. (Not by group:
# xdist 3.8 names groups in a way that pytest 9.2 does not see, and groups nothing.)
test: env
	$(BIN)/pytest -m 'not prove' -n 2 --dist loadfile --no-loadscope-reorder

lint: env
	$(BIN)/ruff check .
	$(BIN)/ruff format --check --quiet .
	$(BIN)/mypy --num-workers 2
	$(BIN)/lint-imports --no-logo

prove: env
	$(BIN)/pytest -m prove

chaos: env
	$(BIN)/python -m benchmarks.chaos

report: env
	$(BIN)/unscene report out/demo

DEVICE ?= cpu
RUNS   := out/seedling
# On a CPU two processes of one thread do more than one of two (models/training/workers.py).
LAUNCH_cpu  := $(BIN)/python -m torch.distributed.run --standalone --nproc-per-node 2 -m
LAUNCH_cuda := $(BIN)/python -m
# What a GPU sees in minutes takes two cores a day: there the base is to see a quarter of it.
# BUDGET=minutes shows in a quarter of an hour that the whole chain runs; what comes of it knows nothing.
BUDGET       ?= $(DEVICE)
VAE_minutes  := --minutes 0.5 --scenes 128
UNET_cpu     := --total-scenes 1000000 --scenes 40000
UNET_cuda    := --total-scenes 4000000 --scenes 120000 --begin-with 15000 --compile
UNET_minutes := --total-scenes 1024 --scenes 256
SAM_cpu      := --prompts 6 --scenes 10000 --total-scenes 45000
SAM_cuda     := $(SAM_cpu)
SAM_minutes  := --prompts 2 --scenes 128 --total-scenes 256 --measured 16
READER_cpu   := --total-scenes 50000
READER_cuda  := $(READER_cpu)
READER_minutes := --total-scenes 512 --scenes 256
CLIP_cpu     := --minutes 120
CLIP_cuda    := --minutes 8 --batch 256 --scenes 24000
CLIP_minutes := --minutes 0.5 --batch 32 --scenes 128
MEASURE_minutes := --singles 8 --pairs 4 --steps 4
TRAIN        = $(LAUNCH_$(DEVICE)) models.training.$(1) --device $(DEVICE) --threads 1 --work $(RUNS)/states/$(2)

# Each step says where it is, saves its state every few minutes, and goes on from it when this is started again.
seedling: env
	$(call TRAIN,base.vae,half) --half-size --out $(RUNS)/states/half/final $(VAE_$(BUDGET))
	$(call TRAIN,base.vae,vae) --grow-from $(RUNS)/states/half/final --out $(RUNS)/states/vae/final $(VAE_$(BUDGET))
	$(call TRAIN,base.unet,unet) --vae $(RUNS)/states/vae/final --out $(RUNS)/base $(UNET_$(BUDGET))
	$(call TRAIN,masks.train,sam) --out $(RUNS)/sam --batch 16 $(SAM_$(BUDGET))
	$(call TRAIN,reading.train,reader) --vae $(RUNS)/states/vae/final --out $(RUNS)/reader $(READER_$(BUDGET))
	$(call TRAIN,judge.train,clip) --vae $(RUNS)/states/vae/final --out $(RUNS)/clip $(CLIP_$(BUDGET))
	$(BIN)/python -m models.training.world.demo_bucket --out $(RUNS)/demo
	$(BIN)/python -m models.training.world.protocol_bucket --out $(RUNS)/demo/protocol
	$(BIN)/python -m models.training.measure --seedling $(RUNS) --sheets $(RUNS)/sheets $(MEASURE_$(BUDGET))

clean:
	rm -rf $(VENV) out build .mypy_cache .ruff_cache .pytest_cache .import_linter_cache *.egg-info
	find . -name __pycache__ -type d -prune -exec rm -rf {} +
