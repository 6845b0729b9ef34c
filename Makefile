# Type `make` for a list of targets. Every file in experiments/ is one, and variables are its settings:
# `make autoencoder latent_dim=64 epochs=20`. Where a file has several experiments, `make file:Class`.

PYTHON ?= python3
VENV   ?= .venv
BIN    := $(VENV)/bin
STAMP  := $(VENV)/.installed
TESTS  := $(VENV)/.tests
DOCS   := $(VENV)/.docs
RIVALS := .venv-bench/.installed
NAMES  := $(filter-out \_%,$(basename $(notdir $(filter-out experiments/_%,$(wildcard experiments/*.py)))))

# The settings: the variables that were typed after `make`, except this file's. Their values reach the
# shell through the environment, so that quotes and spaces arrive as typed. `override` with `value`
# keeps make from expanding `$` in them. (Make itself drops white space in front of a value.)
TYPED    := $(foreach V,$(.VARIABLES),$(if $(filter command line,$(origin $V)),$V))
OWN      := PYTHON VENV BIN STAMP TESTS DOCS RIVALS NAMES TYPED OWN SETTINGS ARGS GIVEN V MAKE% LAB_%
SETTINGS := $(filter-out $(OWN),$(TYPED))
$(foreach V,$(SETTINGS),$(if $(findstring -,$V),$(error $V: write $(subst -,_,$V))))
$(foreach V,$(SETTINGS),$(eval override $V := $$(value $V))$(eval export $V))
ARGS      = $(foreach V,$(SETTINGS),$V="$$$V")
GIVEN     = $(if $(filter $1,$(SETTINGS)),"$$$1",$2)

.DEFAULT_GOAL := help
.PHONY: help setup all new sweep runs generate classify test check fuzz docs bench torture clean $(NAMES)

help: ## list the targets
	@echo "make TARGET [setting=value ...]"; echo
	@for name in $(NAMES); do \
	  printf '  %-22s %s\n' "$$name" "$$(sed -n '1s/^"*//; 1s/"*$$//; 1p' experiments/$$name.py)"; \
	done
	@sed -n 's/^\([a-z]*\):[^#]*## \(.*\)/  \1|\2/p' Makefile | awk -F'|' '{printf "%-24s %s\n", $$1, $$2}'
	@echo; echo "  Settings of an experiment: $(BIN)/lab run NAME --help"

setup: $(STAMP) ## make the virtual environment with what running takes

$(STAMP): pyproject.toml constraints.txt
	@$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 11))' || \
	  { echo "expected Python 3.11 or newer, $(PYTHON) is older; make PYTHON=python3.11 ..." >&2; exit 2; }
	@test -x $(BIN)/python || { echo "Creating $(VENV)"; $(PYTHON) -m venv $(VENV); }
	@$(BIN)/python .ci/install.py 'what experiments need: TensorFlow, Keras, Matplotlib, ...' --constraint constraints.txt --editable .
	@touch $@

$(TESTS): $(STAMP)
	@$(BIN)/python .ci/install.py 'what tests need: pytest, JAX, mypy, ...' --constraint constraints.txt --editable '.[test]'
	@touch $@

$(DOCS): $(TESTS)
	@$(BIN)/python .ci/install.py 'what the reference needs: pdoc' --constraint constraints.txt --editable '.[docs]'
	@touch $@

$(NAMES): $(STAMP)
	@$(BIN)/lab run $@ $(ARGS)

$(foreach V,$(NAMES),$(eval $V\:%: $(STAMP); @$(BIN)/lab run '$$@' $$(ARGS)))

all: $(STAMP) ## run every experiment, one after the other
	@for name in $$($(BIN)/lab list | cut -d ' ' -f 1); do $(BIN)/lab run "$$name" $(ARGS) || exit; done

new: $(STAMP) ## write a new experiment that is ready to run, and its test: make new name=my_idea
	@test -n $(call GIVEN,name,"") || { echo "new: expected name=my_idea, got none" >&2; exit 2; }
	@$(BIN)/lab new $(call GIVEN,name)

sweep: $(STAMP) ## train once for each value of a setting: make sweep experiment=autoencoder latent_dim=8,16,32
	@$(BIN)/lab sweep $(call GIVEN,experiment,autoencoder) $(filter-out experiment=%,$(ARGS))

runs: $(STAMP) ## list the runs
	@$(BIN)/lab runs

generate: $(STAMP) ## write text with the latest text_generation: make generate prompt="Shall I" temperature=0.8 seed=1
	@$(BIN)/lab predict $(call GIVEN,run,text_generation) $(filter-out run=%,$(ARGS))

classify: $(STAMP) ## judge a text with the latest sentiment_analysis: make classify text="I have seldom been so bored."
	@$(BIN)/lab predict $(call GIVEN,run,sentiment_analysis) $(filter-out run=%,$(ARGS))

test: $(TESTS) ## run the tests, two files at a time
	@$(BIN)/python -m pytest --numprocesses 2 --dist loadfile --no-loadscope-reorder

check: $(TESTS) ## check style, types and imports
	@$(BIN)/ruff check .
	@$(BIN)/ruff format --check .
	@$(BIN)/lint-imports --no-logo
	@$(BIN)/mypy

fuzz: $(TESTS) ## run the random tests for long: make fuzz examples=10000
	@FUZZ_EXAMPLES="$${examples:-2000}" $(BIN)/python -m pytest -m hypothesis --hypothesis-profile fuzz --numprocesses 2

docs: $(DOCS) ## write the API reference to build/docs
	@$(BIN)/python .ci/docs.py build/docs

bench: $(TESTS) ## measure the speed against others: all in under 40 minutes, or only=autoencoder,lstm,...
	@$(BIN)/python -m tests.benchmarks check $(ARGS)
	@$(MAKE) --no-print-directory $(RIVALS)
	@$(BIN)/python -m tests.benchmarks $(ARGS)

$(RIVALS): Makefile # PyTorch and Lightning, in a separate environment
	@$(PYTHON) -m venv .venv-bench
	@.venv-bench/bin/python .ci/install.py 'what the benchmark compares with' torch==2.13.0 lightning==2.6.6 numpy
	@touch $@

torture: $(TESTS) ## kill runs at random instants and check that nothing is lost: kills=25 seed=0
	@$(BIN)/python -m tests.torture $(ARGS)

clean: ## remove the virtual environment and caches; runs and data stay
	rm -rf $(VENV) .venv-bench build *.egg-info .pytest_cache .mypy_cache .ruff_cache .hypothesis .import_linter_cache
	find . -name __pycache__ -type d -prune -exec rm -rf {} +
