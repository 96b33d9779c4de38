# SPDX-License-Identifier: MIT
# Everything happens in build/: nothing is installed into the system. `make help` lists the targets.

VENV := build/venv
PY := $(VENV)/bin/python
SOURCES := $(wildcard src/*/*.[ch] src/base/os/*.[ch])
SANITIZE := -fsanitize=address,undefined -fno-sanitize-recover=undefined -fno-omit-frame-pointer

.PHONY: help docs venv build test campaign test-c lint fuzz valgrind sanitize sanitize-python matrix bench balance bench-scaling bench-origins bench-native bench-servers test-servers test-libraries soak accuracy demo format clean

help: ## this list
	@awk -F ':.*## ' '/^[a-z-]+:.*## / {printf "  make %-16s %s\n", $$1, $$2}' Makefile

$(VENV)/ready: tests/requirements.txt
	@python=$$(tools/find-python) && echo "environment: $$python" && rm -rf $(VENV) && "$$python" -m venv $(VENV)
	@$(PY) -m pip install -qq -r tests/requirements.txt
	@for peer in greenlet gevent eventlet; do $(PY) -m pip install -qq --only-binary :all: $$peer || echo "no $$peer for this Python: its test is skipped"; done
	@touch $@

$(VENV)/built: $(VENV)/ready $(SOURCES) setup.py pyproject.toml
	@echo "building memprobe"
	@$(PY) -m pip install -qq --no-build-isolation --no-deps --config-settings editable_mode=compat -e .
	@touch $@

$(VENV)/linters: $(VENV)/ready tests/lint/requirements.txt
	@$(PY) -m pip install -qq -r tests/lint/requirements.txt
	@touch $@

venv: $(VENV)/ready ## make the environment build/venv with the newest suitable Python (PYTHON=... chooses)

build: $(VENV)/built ## compile memprobe and install it, editable, in build/venv

WORKERS := 2 # 0: in pytest's own process, as a debugger wants it

test: build ## run the Python tests (ARGS=... goes to pytest)
	@$(PY) -m pytest -n $(WORKERS) --dist loadfile tests/python $(ARGS)

CAMPAIGN := old_files cases stable in_use advice one_name ranks kills

campaign: build ## the tests of what memprobe says, with all their samples (seven minutes); writes docs/TRUTH.md
	@rm -rf build/campaign && mkdir -p build/campaign
	@CAMPAIGN=$(abspath build/campaign) TRIPLES=243 STABLE=20 NAMES=10000 NAMES_LIVE=200 KILLS=200 $(PY) -m pytest -q -n $(WORKERS) --dist loadfile \
	  --junitxml build/campaign/results.xml $(CAMPAIGN:%=tests/python/test_%.py) $(ARGS); status=$$?; \
	$(PY) tests/python/campaign.py build/campaign docs/TRUTH.md && exit $$status

test-c: ## run the C tests of the core
	@$(MAKE) --no-print-directory -C tests/c run

lint: $(VENV)/linters ## check layers, names, formats and types
	@$(PY) tests/lint/run.py

format: $(VENV)/linters ## rewrite C and Python in the project's format
	@$(VENV)/bin/clang-format -i $(SOURCES)
	@$(VENV)/bin/ruff format -q .

soak: build ## CPython's own tests with captures beside them all the time (ARGS: some of its modules, else 64 of them)
	@$(PY) tests/soak/run.py $(ARGS)

fuzz: ## run the fuzz targets over their corpus
	@$(MAKE) --no-print-directory -C tests/fuzz run

valgrind: ## run the C tests under valgrind
	@$(MAKE) --no-print-directory -C tests/c valgrind

sanitize: ## run the C tests with AddressSanitizer and UndefinedBehaviorSanitizer
	@$(MAKE) --no-print-directory -C tests/c sanitize

sanitize-python: venv ## run the Python tests on an extension with the sanitizers (ARGS=... goes to pytest)
	@PYTHON=$(abspath $(PY)) tools/sanitize-python $(ARGS)

matrix: ## run the Python tests on CPython 3.10 .. 3.15 and a debug build (VERSIONS=... chooses)
	@tools/matrix $(VERSIONS)

$(VENV)/peers: $(VENV)/ready benchmarks/requirements.txt
	@for peer in $$(grep -v '^#' benchmarks/requirements.txt); do $(PY) -m pip install -qq $$peer || echo "no $$peer on this Python"; done
	@touch $@

bench: build $(VENV)/peers ## compare with gc.collect() and other tools; writes docs/BENCHMARKS.md
	@$(PY) benchmarks/run.py $(ARGS)

build/servers/ready: benchmarks/servers.txt
	@rm -rf build/servers && "$$(tools/find-python)" -m venv build/servers
	@build/servers/bin/python -m pip install -qq setuptools rich -r benchmarks/servers.txt
	@touch $@

build/servers/installed: build/servers/ready $(SOURCES) setup.py pyproject.toml $(wildcard memprobe/*.py startup/*)
	@build/servers/bin/python -m pip install -qq --force-reinstall --no-build-isolation --no-deps .
	@touch $@

bench-origins: build ## what it costs to ask tracemalloc where objects were made; writes its part of docs/BENCHMARKS.md
	@$(PY) benchmarks/origins.py $(ARGS)

bench-servers: build/servers/installed ## snapshots of real servers under load (redis-server: from Debian); writes docs/BENCHMARKS.md
	@build/servers/bin/python benchmarks/servers.py $(ARGS)

test-servers: build/servers/installed ## the same for a few seconds each, and no figures: does a snapshot disturb a real server?
	@build/servers/bin/python benchmarks/servers.py --check --seconds 4 --objects 200000 $(ARGS)

build/libraries/ready: tests/libraries.txt tests/leaky.txt
	@rm -rf build/libraries && "$$(tools/find-python)" -m venv build/libraries
	@build/libraries/bin/python -m pip install -qq setuptools rich pytest
	@for library in $$(grep -v '^#' tests/libraries.txt); do build/libraries/bin/python -m pip install -qq --only-binary :all: $$library || echo "no $$library for this Python: its test is skipped"; done
	@for library in $$(grep -v '^#' tests/leaky.txt); do build/libraries/bin/python -m pip install -qq $$library || echo "no $$library for this Python: its test is skipped"; done
	@touch $@

build/libraries/installed: build/libraries/ready $(SOURCES) setup.py pyproject.toml $(wildcard memprobe/*.py startup/*)
	@build/libraries/bin/python -m pip install -qq --force-reinstall --no-build-isolation --no-deps .
	@touch $@

test-libraries: build/libraries/installed ## sizes of what libraries own, and what old ones forgot to free, on the libraries themselves
	@LEAKY_LIBRARIES=1 build/libraries/bin/pytest -q -p no:cacheprovider tests/python/test_native_libraries.py tests/python/test_leaky_libraries.py $(ARGS)

build/synthetic: benchmarks/c/synthetic.c $(SOURCES)
	@mkdir -p build
	@$(CC) -std=c11 -O3 -Isrc -o $@ $< $(wildcard src/base/*.c src/base/os/*.c src/graph/*.c src/algo/*.c src/format/*.c)

balance: build ## what is not explained of real programs' memory, 3.10 to 3.15 (ARGS: versions); writes docs/MEMORY.md
	@$(PY) benchmarks/memory.py $(ARGS)

bench-scaling: build build/synthetic ## heaps of 1 to 30 million objects, and a made one of 100 million; writes docs/SCALING.md
	@$(PY) benchmarks/scaling.py --synthetic build/synthetic $(ARGS)

build/native/installed: build benchmarks/native.txt
	@$(PY) -m venv build/native && build/native/bin/python -m pip install -qq --only-binary :all: -r benchmarks/native.txt
	@touch $@

bench-native: build/native/installed ## whose native memory is, and what is called lost, of many libraries, and what it costs; writes docs/NATIVE.md and its part of docs/MEMORY.md
	@PYTHONPATH=$(abspath .) build/native/bin/python benchmarks/native.py $(ARGS)
	@PYTHONPATH=$(abspath .) build/native/bin/python benchmarks/native_planted.py
	@PYTHONPATH=$(abspath .) build/native/bin/python benchmarks/native_lost.py
	@PYTHONPATH=$(abspath .) build/native/bin/python benchmarks/native_cost.py

accuracy: build $(VENV)/peers ## compare sizes with tracemalloc and other tools; writes docs/ACCURACY.md
	@$(PY) benchmarks/accuracy.py

docs: build ## draw the pictures of the README and the guide anew
	@$(PY) docs/pictures.py

demo: build ## find a planted leak in a running service
	@$(PY) examples/demo.py $(ARGS)

clean: ## remove everything that was built
	@rm -rf build memprobe/*.so *.egg-info .pytest_cache .mypy_cache .ruff_cache
	@find memprobe tests tools examples benchmarks -name __pycache__ -type d -prune -exec rm -rf {} +
