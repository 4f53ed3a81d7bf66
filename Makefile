# The commands of this repository; `make` alone prints them.
# Everything is installed into .venv from the pinned, hashed requirements/;
# wheels are cached by uv outside the clone, so a second clone sets up in seconds.

# That of the distribution first: it is compiled with profiles, which those that pyenv builds are not (1.6 times slower).
PYTHON ?= $(shell for p in /usr/bin/python3.11 /usr/bin/python3.12 python3.11 python3.12 python3; do $$p -c 'import ensurepip, sys; sys.exit(not (3, 11) <= sys.version_info[:2] <= (3, 12))' 2>/dev/null && echo $$p && break; done)
BIN := .venv/bin
# Bytecode is kept, whatever the machine's habit: without it every process compiles TensorFlow's modules anew, 7 s.
export PYTHONDONTWRITEBYTECODE :=
# Five processes: four begin with tests of a cluster each, which wait for much of their time; the fifth computes
# while they wait, and all do once no cluster is left (tests/conftest.py).
TOGETHER := --numprocesses 5 --dist loadgroup --no-loadscope-reorder
FAST := -m "not ray and not slow and not kube and not gcs and not gpu"
# Outside the clone, for the next one: it goes by content, and without it takes half a minute.
export MYPY_CACHE_DIR ?= $(or $(XDG_CACHE_HOME),$(HOME)/.cache)/autolfads/mypy
COMPILE := $(BIN)/uv pip compile --python-version 3.11 --generate-hashes --no-emit-index-url --quiet
# GPU=1 sets up TensorFlow with CUDA (Linux on x86-64), and so it stays until `make setup GPU=`.
WORKER := worker$(if $(or $(GPU),$(and $(filter undefined,$(origin GPU)),$(wildcard .venv/.worker-gpu))),-gpu)

.DEFAULT_GOAL := help
.PHONY: help setup format lint unit test coverage kills bench bench-operator check octave controlplane nodes helm chart crds images push sbom requirements demo clean

##@ Use
demo: .venv/.$(WORKER) ## Train the Lorenz example on this machine, set-up included
	@test -f runs/lorenz/data.h5 || $(BIN)/autolfads synthesize lorenz runs/lorenz/data.h5 --trials-per-condition 10
	$(BIN)/autolfads run examples/lorenz/run.yaml

##@ Develop
setup: .venv/.dev ## Install everything, pinned, into .venv; GPU=1: with CUDA

format: .venv/.dev ## Format the code
	$(BIN)/ruff format .
	$(BIN)/ruff check --fix .

lint: .venv/.dev ## Style, types and import contracts
	$(BIN)/ruff format --check .
	$(BIN)/ruff check .
	$(BIN)/mypy
	$(BIN)/lint-imports
	$(BIN)/hadolint dockerfiles/*.Dockerfile

unit: .venv/.dev ## The fast tests
	$(BIN)/pytest $(FAST) $(TOGETHER)

check: lint octave unit ## Lint and fast tests

octave: ## Octave, which reads our MATLAB files in the tests
	@command -v octave-cli >/dev/null && exit 0; \
	if [ "$$(id -u)" = 0 ] && command -v apt-get >/dev/null; then \
		echo "installing octave (82 MB) from Debian's packages"; \
		apt-get update -qq && DEBIAN_FRONTEND=noninteractive apt-get install -y -qq --no-install-recommends octave >/dev/null; \
	else \
		echo "octave-cli is wanted by the tests of rates.mat and was not found; install Octave, for example apt-get install octave"; exit 1; \
	fi

test: lint octave controlplane nodes helm ## Everything, set-up included: what CI runs
	$(BIN)/pytest -m "not gpu" $(TOGETHER)

coverage: .venv/.dev ## Which lines the fast tests do not run
	$(BIN)/pytest $(FAST) $(TOGETHER) --cov --cov-report=term:skip-covered

kills: .venv/.dev ## Kill 200 runs at random moments and compare what they end with
	AUTOLFADS_KILLS=200 $(BIN)/pytest -s tests/end_to_end/test_kills.py

bench: .venv/.$(WORKER) ## Time training; GPU=1: with CUDA; LFADS_TORCH=its checkout TORCH_PYTHON=its Python times that beside
	$(BIN)/python -m lfads_worker.bench $(if $(LFADS_TORCH),--lfads-torch $(LFADS_TORCH) --torch-python $(or $(TORCH_PYTHON),python3)) $(BENCH)

bench-operator: .venv/.dev controlplane ## Measure one operator with 500 runs: docs/operator-benchmark.md; BENCH="--runs 50"
	PYTHONPATH=tests $(BIN)/python -m bench_operator $(BENCH)

controlplane: ## Build the Kubernetes of the tests, kept outside the clone
	$(PYTHON) tests/controlplane/build.py

nodes: .venv/.dev ## Build the images of the test nodes, kept outside the clone
	PYTHONPATH=tests $(BIN)/python -m kube.nodes.images

helm: .venv/.dev ## Fetch the helm of the tests, kept outside the clone
	$(BIN)/python tests/helm/program.py

chart: crds helm ## Generate what the chart is made from, and try it
	PYTHONPATH=tests $(BIN)/python -m helm.chart
	$(BIN)/pytest -q tests/helm

crds: .venv/.dev ## Generate the CRD, the field reference and the chart's values
	$(BIN)/python -m autolfads_spec
	$(BIN)/python charts/generate.py

##@ Release
IMAGES := operator worker $(if $(GPU),worker-gpu)

images: ## Build the images; GPU=1: with CUDA too; ENGINE=docker, REGISTRY=..., BASE=image@digest
	for image in $(IMAGES); do dockerfiles/image.sh build $$image || exit 1; done

push: ## Push the images to REGISTRY
	for image in $(IMAGES); do dockerfiles/image.sh push $$image || exit 1; done

sbom: .venv/bin/uv ## Write what is in the images as CycloneDX, into dist/
	$(BIN)/uv venv --quiet --clear build/sbom
	$(BIN)/uv pip install --quiet --python build/sbom --require-hashes -r requirements/sbom.txt
	@mkdir -p dist
	for image in operator worker worker-gpu; do \
		$(COMPILE) --python-platform x86_64-manylinux_2_28 --no-deps requirements/$$image.txt \
		| PYTHONWARNINGS=ignore build/sbom/bin/cyclonedx-py requirements --output-reproducible --pyproject pyproject.toml -o dist/$$image.cdx.json - || exit 1; \
	done

##@ House-keeping
requirements: .venv/.dev ## Compile requirements/*.in into pinned files with hashes
	$(COMPILE) --universal requirements/worker.in -o requirements/worker.txt
	$(COMPILE) --universal -c requirements/worker.txt requirements/operator.in -o requirements/operator.txt
	$(COMPILE) --universal -c requirements/worker.txt -c requirements/operator.txt -c requirements/uv.txt requirements/build.in -o requirements/build.txt
	$(COMPILE) --universal -c requirements/worker.txt -c requirements/operator.txt requirements/dev.in -o requirements/dev.txt
	$(COMPILE) --universal requirements/sbom.in -o requirements/sbom.txt
	$(COMPILE) --python-platform x86_64-manylinux_2_28 -c requirements/worker.txt requirements/worker-gpu.in -o requirements/worker-gpu.txt

clean: ## Remove the environment and caches of this clone
	rm -rf .venv .mypy_cache .ruff_cache .pytest_cache .import_linter_cache .hypothesis build dist

help:
	@awk 'BEGIN {FS = ":.*##"} /^##@/ {printf "\n%s\n", substr($$0, 5)} /^[a-z-]+:.*##/ {printf "  %-13s %s\n", $$1, $$2}' $(MAKEFILE_LIST)

.venv/bin/uv: requirements/uv.txt
	@test -n "$(PYTHON)" || { echo "Python 3.11 or 3.12 with its venv module is wanted; none was found in /usr/bin or on PATH. Install them (Debian, Ubuntu: sudo apt install python3 python3-venv), or call make PYTHON=/path/to/python3.11"; exit 1; }
	$(PYTHON) -m venv .venv
	$(BIN)/python -m pip install --quiet --disable-pip-version-check --require-hashes -r requirements/uv.txt
	@touch $@

# Both TensorFlows have the same files: one goes before the other comes.
.venv/.$(WORKER): .venv/bin/uv requirements/$(WORKER).txt pyproject.toml
	@rm -f .venv/.worker .venv/.worker-gpu
	$(BIN)/uv pip uninstall --quiet tensorflow tensorflow-cpu
	$(BIN)/uv pip install --quiet --require-hashes -r requirements/$(WORKER).txt
	$(BIN)/uv pip install --quiet --no-deps --no-build-isolation --editable .
	@touch $@

.venv/.dev: .venv/.$(WORKER) requirements/dev.txt
	$(BIN)/uv pip install --quiet --require-hashes -r requirements/dev.txt
	@touch $@
