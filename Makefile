# Two commands do everything on a fresh machine: make demo, make test.
PYTHON ?= python3
VENV := .venv
BIN := $(VENV)/bin
DEV := $(VENV)/.installed
DEMO_VENV := .venv-demo
# The demo's key lies outside the repository, as every private key must.
DEMO_KEYS := $(or $(TMPDIR),/tmp)/mlbom-demo-$(shell id -u)
ORACLE_VENV := .venv-oracle
ORACLE_NODE := .oracle-node
ORACLE_NPM := @sigstore/verify@3.1.1 @sigstore/bundle@4.0.0 @sigstore/mock@0.13.0
ORACLE_TOOLS := openssl sha256sum node softhsm2-util strace
BENCH_VENV := .venv-bench
RECORD_VENV := .venv-records
# One thread, and instructions that every x86-64 has: the training gives the same bits elsewhere.
RECORD_PINS := OMP_NUM_THREADS=1 ATEN_CPU_CAPABILITY=default ONEDNN_MAX_CPU_ISA=SSE41 MKL_CBWR=COMPATIBLE
export OMP_NUM_THREADS ?= 1

.PHONY: demo records test check test-oracle test-slow culprits bench format goldens clean

demo: ## install, make a key, generate and verify examples/char-lm
	$(PYTHON) -m venv $(DEMO_VENV)
	$(DEMO_VENV)/bin/python -m pip install --quiet .
	rm -rf $(DEMO_KEYS)
	$(DEMO_VENV)/bin/mlbom keys new $(DEMO_KEYS)/publisher.pem
	$(DEMO_VENV)/bin/mlbom generate examples/char-lm --key $(DEMO_KEYS)/publisher.pem
	$(DEMO_VENV)/bin/mlbom verify examples/char-lm/mlbom-out --quiet \
		--key release=$(DEMO_KEYS)/publisher.pub \
		$(foreach role,data train eval,--key $(role)=examples/char-lm/recorder.pub)
	cp examples/char-lm/mlbom-policy.yaml examples/char-lm/recorder.pub $(DEMO_KEYS)
	$(DEMO_VENV)/bin/mlbom verify examples/char-lm/mlbom-out --policy $(DEMO_KEYS)/mlbom-policy.yaml
	@echo && ls -l examples/char-lm/mlbom-out examples/char-lm/mlbom-out/attestations
	@echo && echo "open examples/char-lm/mlbom-out/report.html"

records: $(DEV) ## record the steps of examples/char-lm again, with a new key that is then thrown away
	$(PYTHON) -m venv $(RECORD_VENV)
	$(RECORD_VENV)/bin/python -m pip install --quiet torch==2.13.0 numpy safetensors pyyaml
	rm -rf examples/char-lm/.mlbom $(DEMO_KEYS) && $(BIN)/mlbom keys new $(DEMO_KEYS)/recorder.pem
	cd examples/char-lm && for step in data:prepare train:train eval:evaluate; do \
		$(RECORD_PINS) $(abspath $(BIN))/mlbom run --name $${step%:*} --trace step --key $(DEMO_KEYS)/recorder.pem -- \
			$(abspath $(RECORD_VENV))/bin/python $${step#*:}.py || exit 1; done
	mv $(DEMO_KEYS)/recorder.pub examples/char-lm/recorder.pub && rm -rf $(DEMO_KEYS)

test: $(DEV) ## all tests that run offline, without a GPU and without outside verifiers
	$(BIN)/python -m pytest

check: $(DEV) ## style, types, import floors, dependencies, workflow security
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/mypy
	$(BIN)/lint-imports
	$(BIN)/deptry .
	$(BIN)/zizmor --offline --quiet action.yml .github/workflows

test-oracle: $(DEV) ## outside verifiers judge our output; fails when one is missing
	$(PYTHON) -m venv $(ORACLE_VENV)
	$(ORACLE_VENV)/bin/python -m pip install --quiet model-signing==1.1.1 pyOpenSSL in-toto-attestation==0.9.3 nbconvert ipykernel
	npm install --silent --no-audit --no-fund --prefix $(ORACLE_NODE) $(ORACLE_NPM)
	for tool in $(ORACLE_TOOLS); do command -v $$tool >/dev/null || { echo "missing: $$tool"; exit 1; }; done
	MLBOM_ORACLE_VENV=$(ORACLE_VENV) MLBOM_ORACLE_NODE=$(ORACLE_NODE) MLBOM_ORACLES_REQUIRED=1 \
		$(BIN)/python -m pytest -m oracle

test-slow: $(DEV) ## whole trainings that run again: minutes
	$(BIN)/python -m pytest -m slow

culprits: $(DEV) ## every planted cause named with its line; each deterministic twin ten times
	$(BIN)/python -m tests.culprits.sweep

bench: $(DEV) ## speed as ratios to peers, both sides in one run
	$(PYTHON) -m venv $(BENCH_VENV)
	$(BENCH_VENV)/bin/python -m pip install --quiet aisbom-cli==1.7.0 model-signing==1.1.1 pyOpenSSL \
		torch==2.13.0 numpy safetensors pyyaml .
	$(BIN)/python benchmarks/run.py --venv $(BENCH_VENV)

format: $(DEV) ## put the code into the house's form
	$(BIN)/ruff format .
	$(BIN)/ruff check --fix .

goldens: $(DEV) ## make the golden files again; read the difference before you commit it
	$(BIN)/python -m pytest tests/golden --remake-goldens

clean:
	rm -rf $(VENV) $(DEMO_VENV) $(ORACLE_VENV) $(ORACLE_NODE) $(BENCH_VENV) $(RECORD_VENV) $(DEMO_KEYS) examples/char-lm/mlbom-out

$(DEV): pyproject.toml .ci/requirements-dev.txt
	$(PYTHON) -m venv $(VENV)
	$(BIN)/python -m pip install --quiet --requirement .ci/requirements-dev.txt
	$(BIN)/python -m pip install --quiet --no-deps --editable .
	touch $@
