# make lab     set up once, then open JupyterLab on your own copy     make lab ARGS="--no-browser --port 8899"
# make test    set up once, then lint, types and every test       make test ARGS="-k cli"
# The environment is .venv. Its last file, .venv/complete, is written only after everything was installed and
# holds what it was made from; without it, or when it tells of another Python or folder, .venv is made anew.

.DEFAULT_GOAL := help
.PHONY: help setup lab test test-browser lint types build results bench bench-speed bench-serve serve serve-web mutants hub clean
SHELL := /bin/sh
BIN := .venv/bin
JOBS ?= 2
ARGS ?=

help:
	@printf '%s\n' 'make lab      open JupyterLab on your own copy of the course (ARGS="--no-browser --port 8899" is passed on)' \
	  'make test     lint, types and every test (ARGS="-k fusion" is passed to pytest)' \
	  'make test-browser attention   run a lesson in a real browser' \
	  'make lint     ruff and mypy alone' \
	  'make setup    only make or refresh .venv (PYTHON=/path/to/python3 chooses the Python)' \
	  'make build    the wheel, in dist/' \
	  'make results sentiment   make a lesson'"'"'s stored figures of long runs anew' \
	  'make bench    training speed side by side: ours, a bare loop, Lightning, Keras (benchmarks/)' \
	  'make bench-speed  what the course promises about its own speed, measured (ARGS="scenes log_mel")' \
	  'make bench-serve  the service under load: latency, goodput, cold start, memory (refuses a busy machine)' \
  'make serve-web  fetch what the service'"'"'s second page runs the model with (npm, checked by hash)' \
  'make serve    the model behind a page and an HTTP service (ARGS="--port 8080")' \
  'make mutants  each mistake put into a formula on purpose, and the check that notices it' \
	  'make hub      a JupyterHub to try a class on this machine (ARGS="--dir class --students ada,ben")' \
	  'make clean    remove .venv, dist and caches'

define SETUP
fail() { printf '\nSet-up stopped: %s\n%s\nThen run make again; nothing half-made will be used.\n' "$$1" "$$2" >&2; exit 1; }; \
inputs="$$(cat pyproject.toml constraints.txt | cksum)"; \
made_by() { printf '%s\n%s\n' "$$PWD" "$$($(BIN)/python -V 2>&1)"; }; \
wanted() { made_by; printf '%s\n' "$$inputs"; }; \
[ -f .venv/complete ] && [ "$$(cat .venv/complete)" = "$$(wanted)" ] && exit 0; \
if ! [ -f .venv/complete ] || [ "$$(head -n 2 .venv/complete)" != "$$(made_by)" ]; then \
  [ -e .venv ] && printf '%s\n' 'The environment in .venv is incomplete or from elsewhere: making it anew.'; \
  rm -rf .venv || fail 'the old .venv could not be removed.' 'Delete the folder .venv by hand.'; \
  for python in $(or $(PYTHON),python3 python3.11 python3.12 python3.13); do \
    "$$python" -c 'import sys; sys.exit(not (3, 11) <= sys.version_info[:2] <= (3, 13))' 2>/dev/null && break; python=; \
  done; \
  newer="$$($(or $(PYTHON),python3) -c 'import sys; print("%d.%d" % sys.version_info[:2] if sys.version_info >= (3, 14) else "")' 2>/dev/null)"; \
  [ -n "$$python" ] || [ -z "$$newer" ] || fail "Python $$newer is too new: TensorFlow has no build for it yet." \
    'Install Python 3.13 beside it (python.org, brew install python@3.13, uv python install 3.13), or say make lab PYTHON=/path/to/python3.13'; \
  [ -n "$$python" ] || fail 'no Python 3.11, 3.12 or 3.13 was found.' \
    'Install one (python.org, brew install python@3.12, apt install python3 python3-venv), or say make lab PYTHON=/path/to/python3.11'; \
  printf 'Making .venv with %s (once; some minutes. On disk: about 4 GB, on Linux 8 GB unless PyTorch is the CPU build: see README)\n' "$$("$$python" -V)"; \
  "$$python" -m venv .venv || fail "$$python could not make a virtual environment." \
    'On Debian or Ubuntu: apt install python3-venv. Else check that the disk is not full and the folder is writable.'; \
fi; \
rm -f .venv/complete; \
$(BIN)/python -m pip install -c constraints.txt -e '.[all]' || fail 'pip could not install the course (its last lines above say why).' \
  'Usual causes: no network or a proxy (set HTTPS_PROXY), a full disk (4 GB are needed, 8 GB with CUDA), a Python without wheels (try PYTHON=python3.11).'; \
$(BIN)/python -m pip check || fail 'the installed packages do not fit together (see above).' 'Run make clean.'; \
$(BIN)/python -m jupyter labextension disable --level=sys_prefix @jupyter/nbgrader >/dev/null 2>&1; : instructors only; \
wanted > .venv/complete.part && mv .venv/complete.part .venv/complete
endef

setup:
	@$(SETUP)

lab: setup
	@$(BIN)/mmcourse lab $(ARGS)

# One thread a process: two workers run side by side, and sums then have the same order everywhere.
test: export OMP_NUM_THREADS ?= 1
test: lint
	@$(BIN)/python -m pytest -n $(JOBS) --dist loadgroup --no-loadscope-reorder --color=no -q $(ARGS)

# `make test-browser attention`: run lessons in a real browser, as a learner does.
ifeq (test-browser,$(firstword $(MAKECMDGOALS)))
LESSONS := $(wordlist 2,99,$(MAKECMDGOALS))
$(if $(LESSONS),$(eval $(LESSONS):;@:))
endif
test-browser: export OMP_NUM_THREADS ?= 1
test-browser: setup
	@[ -n "$(LESSONS)" ] || { echo 'Which lesson? For instance: make test-browser attention'; exit 2; }
	@MMCOURSE_BROWSER="$(LESSONS)" $(BIN)/python -m pytest -q -k runs_to_its_end tests/browser/test_jupyterlab.py

lint: setup
	@$(BIN)/ruff check .
	@$(BIN)/ruff format --check .
	@$(BIN)/mypy

build: setup
	@$(BIN)/python -m build --wheel --no-isolation

# `make results tune sentiment`: the words after `results` are lessons, not targets.
ifeq (results,$(firstword $(MAKECMDGOALS)))
LESSONS := $(wordlist 2,99,$(MAKECMDGOALS))
$(if $(LESSONS),$(eval $(LESSONS):;@:))
endif
results: setup
	@[ -n "$(LESSONS)" ] || { echo 'Which lesson? For instance: make results sentiment'; exit 2; }
	@for lesson in $(LESSONS); do \
	  [ -f notebooks/src/$$lesson/make_results.py ] || { echo "Lesson $$lesson has no long runs: there is no notebooks/src/$$lesson/make_results.py"; exit 2; }; \
	  $(BIN)/python notebooks/src/$$lesson/make_results.py || exit 1; \
	done

bench: setup
	@$(BIN)/python -m pip install -q -c constraints.txt -e '.[bench]'
	@$(BIN)/python -m benchmarks $(ARGS)

bench-speed: setup
	@$(BIN)/python -m benchmarks.speed $(ARGS)

bench-serve: setup
	@$(BIN)/python -m benchmarks.serve $(ARGS)

serve: setup
	@$(BIN)/mmcourse serve $(ARGS)

serve-web: setup
	@$(BIN)/python -m mmcourse.serve.page

mutants: setup
	@$(BIN)/python tests/parity/test_fusion_mutants.py
	@$(BIN)/python tests/parity/mutants_encoders.py

hub: setup
	@$(BIN)/mmcourse hub $(ARGS)

clean:
	rm -rf .venv dist build .mypy_cache .ruff_cache .pytest_cache .hypothesis
