# One virtual environment, made from the lock file, serves every target.

PYTHON ?= python3
PRESET ?= quick
OUT ?= reports
PORT ?= 8888
BROWSER ?= yes

VENV := .venv
BIN := $(VENV)/bin
STAMP := $(VENV)/.cgsim-installed
LOCK := requirements/lock.txt

# Two processes share the machine's cores, and a file's tests share what they compiled.
PYTEST_PARALLEL ?= -n 2 --dist loadfile

# Byte code is written where modules are imported, whatever the caller's environment says: without it
# each process compiles numba and pandas anew, for seconds.
unexport PYTHONDONTWRITEBYTECODE

.DEFAULT_GOAL := help
.PHONY: help setup report test test-slow bench lint format lab notebooks coverage boundscheck \
        wheel lock picture clean distclean

help:
	@echo "make setup                     the virtual environment $(VENV), from $(LOCK)"
	@echo "make report [PRESET=full]      simulate, run the notebooks, write $(OUT)/"
	@echo "make test                      the tests (make test-slow: the slow ones)"
	@echo "make bench                     speed of the engine (make picture: the README's figure)"
	@echo "make lint                      ruff, mypy, import contracts (make format: rewrite)"
	@echo "make lab [PORT=8888] [BROWSER=no]  JupyterLab on the notebooks"
	@echo "make notebooks                 notebooks/*.ipynb from notebooks/*.py"
	@echo "make coverage                  coverage with the compiler off"
	@echo "make boundscheck               the engine's tests with array bounds checked"
	@echo "make wheel | lock              build dist/ | resolve $(LOCK) anew"
	@echo "make clean | distclean         remove what was generated | and the environment too"

setup: $(STAMP)

# Redone only if the lock changes. The lock is complete (hence --no-deps), and carries the build
# back end, so that the package itself is installed without a further download. Byte code is left
# to be made for what is imported (--no-compile): that halves the time.
$(STAMP): $(LOCK)
	@$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 11))' 2>/dev/null || \
	  { echo "cgsim needs Python 3.11 or newer; '$(PYTHON)' is $$($(PYTHON) --version 2>&1)." \
	         "Give another one: make PYTHON=python3.12 ..." >&2; exit 1; }
	@echo "setup: installing into $(VENV), about a minute"
	@start=$$(date +%s); \
	  $(PYTHON) -m venv $(VENV) && \
	  $(BIN)/python -m pip install -qq --disable-pip-version-check --no-deps --no-compile -r $(LOCK) && \
	  $(BIN)/python -m pip install -qq --disable-pip-version-check --no-deps \
	    --no-build-isolation --editable . && \
	  touch $@ && \
	  printf '%-12s%7d s\n' setup $$(($$(date +%s) - start))

report: $(STAMP)
	$(BIN)/cgsim report --preset $(PRESET) --out "$(OUT)"

test: $(STAMP)
	$(BIN)/python -m pytest -m "not slow" $(PYTEST_PARALLEL)

test-slow: $(STAMP)
	$(BIN)/python -m pytest -m slow

bench: $(STAMP)
	$(BIN)/python -m benchmarks.run

picture: $(STAMP)
	$(BIN)/python -m benchmarks.picture

lint: $(STAMP)
	$(BIN)/ruff check
	$(BIN)/ruff format --check
	$(BIN)/mypy cgsim
	$(BIN)/lint-imports

format: $(STAMP)
	$(BIN)/ruff check --fix
	$(BIN)/ruff format

notebooks: $(STAMP)
	$(BIN)/cgsim notebooks

lab: notebooks
	$(BIN)/jupyter lab --port=$(PORT) $(if $(filter no,$(BROWSER)),--no-browser) notebooks

# Of compiled code no line is seen to run: the engine's tests run with the compiler off, the others,
# which simulate through it, at its speed.
coverage: $(STAMP)
	$(BIN)/python -m coverage erase
	NUMBA_DISABLE_JIT=1 $(BIN)/python -m coverage run -m pytest \
	  -m "engine and not slow and not compiled" -n 2 --dist worksteal
	$(BIN)/python -m coverage run -m pytest -m "not engine and not slow" $(PYTEST_PARALLEL)
	$(BIN)/python -m coverage combine --quiet
	$(BIN)/python -m coverage report

boundscheck: $(STAMP)
	NUMBA_BOUNDSCHECK=1 $(BIN)/python -m pytest -m "engine and not slow" $(PYTEST_PARALLEL)

wheel: $(STAMP)
	$(BIN)/python -m build --wheel --no-isolation

# Names no package host: pip's own configuration says where packages come from.
lock: $(STAMP)
	CUSTOM_COMPILE_COMMAND="make lock" $(BIN)/pip-compile --quiet --no-config --all-extras \
	  --strip-extras --allow-unsafe --generate-hashes --newline lf --no-emit-options \
	  --no-emit-index-url --no-emit-trusted-host --no-emit-find-links \
	  --output-file $(LOCK) pyproject.toml

# Of reports and notebooks only files that are as cgsim wrote them, wherever OUT leads.
clean:
	@[ ! -e $(STAMP) ] || $(BIN)/python -P -m cgsim.report.clean "$(OUT)" "$(OUT).failed"
	rm -rf build dist .coverage .pytest_cache .mypy_cache .ruff_cache .hypothesis .import_linter_cache
	find cgsim tests benchmarks notebooks -name __pycache__ -type d -prune -exec rm -rf {} +

distclean: clean
	rm -rf $(VENV)
