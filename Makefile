# The menu. Everything that CI runs stands here; CI has no logic of its own.
# Compiled things, clusters and tools lie outside the clone, so that a second clone starts warm.
SHELL := /bin/bash
.SHELLFLAGS := -euo pipefail -c
.DEFAULT_GOAL := help

CACHE := $(or $(NEURALOPS_CACHE),$(or $(XDG_CACHE_HOME),$(HOME)/.cache)/neuralops)
RUSTC := $(shell rustc --version 2>/dev/null | tr -c 'A-Za-z0-9.\n' '-')
# Keyed by the compiler and by the checkout: cargo tells sources apart by their times, so that two clones in one folder
# would take each other's programs for their own.
CHECKOUT := $(shell printf %s '$(CURDIR)' | sha256sum | cut -c1-12)
export CARGO_TARGET_DIR ?= $(CACHE)/target/$(RUSTC)$(CHECKOUT)
export NEURALOPS_CACHE := $(CACHE)
# A failing test says what is wrong; the way there is asked for by hand.
export RUST_BACKTRACE := 0
WITH := tests/cluster/with
REPORT := tests/report
CARGO := cargo

.PHONY: help demo rights check test long cluster cluster-down generate fmt clippy doc secrets operations unit stores audit-tools audit promql cosign-tools cosign cosign-older fixtures bench doctor deny manifests chart image reproducible

help: ## What can be made
	@awk -F ':.*## ' '/^[a-z-]+:.*## / { printf "  %-14s %s\n", $$1, $$2 }' $(MAKEFILE_LIST)

rights: ## The operator's rights are those that it used in all parts before this one; a part of `make test`
	@tests/rights/truth --self-test
	@tests/rights/truth "$${NEURALOPS_USED_RIGHTS:?it is what make test collects on the way}"

demo: doctor ## A control plane on this machine, the operator, and a first Playbook
	@tests/demo

doctor: ## Name everything that this machine lacks
	@tests/cluster/doctor

fmt: ## Formatting
	@$(CARGO) fmt --check

clippy: ## Lints, on everything
	@$(CARGO) clippy --locked --all-targets --quiet -- -D warnings

doc: ## The crate's documentation, without warnings
	@RUSTDOCFLAGS='-D warnings' $(CARGO) doc --locked --no-deps --quiet

unit: ## Everything that needs no cluster
	@$(CARGO) test --locked --lib --test floors --test drift --test cli --test failpoints --test signing --test oci

audit-tools: ## The readers of the transparency log that are not ours, in Go
	@tests/tlog/build >/dev/null

audit: audit-tools ## neuralops audit on sound and altered logs, and Go's readers on our exports
	@tests/postgres with $(CARGO) test --locked --test audit

promql: ## Checks with PromQL: a real Prometheus, and servers that are away, slow or lie
	@$(CARGO) test --locked --test promql --no-run
	@tests/prometheus with $(CARGO) test --locked --test promql

cosign-tools: ## The real cosign, registries and the servers of a private Sigstore, in Go
	@tests/sigstore/build >/dev/null

cosign: cosign-tools ## What cosign signs, with keys and as identities, verified with all services stopped; and the reverse
	@$(CARGO) test --locked --test cosign

cosign-older: ## The same with cosign 2 and Rekor v1
	@tests/sigstore/build cosign crane registry idp portbridge trillianmem ctfe tsa rekor2 fulcio rekor1 cosign2 >/dev/null
	@$(CARGO) test --locked --test cosign_older

fixtures: ## Make the signatures of tests/signing/data/made anew, with the real cosign
	@tests/sigstore/fixtures

chart: ## The chart with both helms: every value, schemas, checkov, and installed on a control plane of its own
	@$(CARGO) build --locked --bin neuralops
	@tests/chart/run "$(CARGO_TARGET_DIR)/debug/neuralops"
	@tests/chart/on-cluster "$(CARGO_TARGET_DIR)/debug/neuralops"

stores: ## The store's tests, on SQLite and on a PostgreSQL server of their own
	@$(CARGO) test --locked --test store --no-run
	@tests/postgres with $(CARGO) test --locked --test store

secrets: ## No key, token or database in the tree
	@tests/tools/secrets --self-test
	@tests/tools/secrets

operations: ## Alerts by promtool, dashboard, health checks for Argo CD by Lua, kstatus, documents with their links and commands, the image, the release
	@$(CARGO) build --locked --bin neuralops
	@tests/operations/run

bench: ## The log's numbers and those of signatures, beside what the machine can do; ARGS=--quick for a few seconds
	@$(CARGO) bench --locked --benches --no-run
	@with=; if tests/postgres with true; then with='tests/postgres with'; fi; \
	$$with $(CARGO) bench --locked --bench audit -- $(ARGS)
	@$(CARGO) bench --locked --bench signing -- $(ARGS)
	@$(CARGO) build --locked --bin neuralops
	@$(WITH) tests/operator $(CARGO) bench --locked --bench runs -- $(ARGS)

check: ## Fast, without a cluster: fmt, clippy, doc, secrets, unit tests, floors, drift
	@$(REPORT) check fmt clippy doc secrets unit

test: ## check, then the stores, the log, runs and everything on the control plane; what CI runs
	@$(REPORT) test doctor fmt clippy doc secrets operations unit stores audit promql cosign chart ledger runs on-cluster on-kubelet demo rights

long: ## Version legs, the older signing programs, fuzz, ten minutes of kill -9, 200 runs through outages, a thousand waiting runs, soak (their short forms run in make test), two release builds with one digest, cargo-deny
	@$(REPORT) long doctor deny reproducible cosign-older on-1.33 on-1.34 on-1.37 fuzz torture long-runs waiting soak

cluster: doctor ## Start a control plane that stays, and say what to source
	@tests/cluster/session up

cluster-down: ## End it
	@tests/cluster/session down

generate: ## Write everything that is generated: crds/, docs/reference/, the chart's copies and tables, config/manager/, the ConfigMap for Argo CD
	@$(CARGO) run --quiet --locked -- crds --output-dir crds
	@$(CARGO) run --quiet --locked -- reference --output-dir docs/reference
	@tests/operations/run --generate
	@helm=$$(tests/sigstore/build helm) && HELM=$$helm tests/chart/python charts/generate

manifests: ## What kustomize installs, in files: dist/install.yaml, and dist/crds.yaml with the kinds alone
	@charts/manifests dist

image: ## The release image, as an OCI archive with its SBOM in dist/, without a container engine; prints its digest and size
	@image/make dist

reproducible: ## The same image twice from scratch, in other folders, with one digest (two release builds); DIGEST=sha256:… compares it
	@image/reproduce $(DIGEST)

deny: ## Licences, bans, sources and advisories of all dependencies
	@tests/tools/deny


# The writer is killed, and made to die at places that only this build has; the default build is what is restored after it.
LEDGER := $(CARGO) test --locked --features failpoints --test ledger
ledger: ## The log under kill -9, crashes, failing disks, silent and dying databases, on both stores
	@$(LEDGER) --no-run
	@$(WITH) tests/postgres with $(LEDGER) -- --test-threads=3
	@$(CARGO) build --locked --bin neuralops

# The operator that is killed has the places as well; the default build is what is restored after it.
RUNS := $(CARGO) test --locked --features failpoints --test runs
runs: ## Runs under crashes at every place, sleeping leaders, outages of API server and etcd, and a log that cannot be written
	@$(RUNS) --no-run
	@$(WITH) $(RUNS) -- --test-threads=2
	@$(CARGO) build --locked --bin neuralops

long-runs: ## The same with every step at every place, 200 runs through the outages, and etcd paused for 30 s
	@$(RUNS) --no-run
	@export NEURALOPS_RUNS_ALL=1 NEURALOPS_RUNS=$${NEURALOPS_RUNS:-200}; $(WITH) $(RUNS) -- --nocapture --test-threads=1
	@$(CARGO) build --locked --bin neuralops

torture: ## Ten minutes of kill -9 against the log, on both stores, and a long game of accidents; make test runs 20 seconds
	@$(LEDGER) --no-run
	@export NEURALOPS_TORTURE_SECONDS=$${NEURALOPS_TORTURE_SECONDS:-600} NEURALOPS_TORTURE_SEED=$${NEURALOPS_TORTURE_SEED:-$$$$} \
	  NEURALOPS_MODEL_MOVES=$${NEURALOPS_MODEL_MOVES:-300} NEURALOPS_MODEL_SEED=$${NEURALOPS_MODEL_SEED:-$$$$}; \
	$(WITH) tests/postgres with $(LEDGER) -- --nocapture torture model
	@$(CARGO) build --locked --bin neuralops

.PHONY: ledger runs long-runs torture cluster-binaries on-cluster on-kubelet on-1.33 on-1.34 on-1.37 fuzz waiting soak
CLUSTER_TESTS := tests/operator $(CARGO) test --locked --test cluster -- --test-threads=8
# Both before a cluster is up: a control plane that waits for a compiler only costs memory.
cluster-binaries:
	@$(CARGO) build --locked --bin neuralops
	@$(CARGO) test --locked --test cluster --no-run

on-cluster: cluster-binaries ## The cluster tests on the default control plane
	@built=$$(tests/sigstore/build helm registry cosign) && set -- $$built && \
	NEURALOPS_HELM=$$1 NEURALOPS_REGISTRY=$$2 NEURALOPS_COSIGN=$$3 tests/prometheus with $(WITH) $(CLUSTER_TESTS)

# Sets archive and image.
IN_IMAGE = archive=$$(mktemp --suffix=.tar) && trap 'rm -f "$$archive"' EXIT && \
	image=$$(image/build "$(CARGO_TARGET_DIR)/debug/neuralops" "$$archive" localhost/neuralops:e2e)

on-kubelet: ## Real pods on a real kubelet (as root): runs with Jobs, requests from our own image, and the chart as a user installs it; skipped where there can be none, unless E2E_PODS=kubelet
	@$(CARGO) build --locked --bin neuralops
	@if reason=$$(tests/cluster/can-kubelet); then \
	  $(IN_IMAGE) && \
	  E2E_IMAGES=$$archive NEURALOPS_STEP_IMAGE=$$image E2E_PODS=kubelet $(WITH) tests/operator bash -euc 'tests/cluster/probe-kubelet; tests/kubelet-run; tests/kubelet-drain' && \
	  E2E_IMAGES=$$archive tests/kubelet-install/run "$(CARGO_TARGET_DIR)/debug/neuralops" "$$image"; \
	elif [ "$${E2E_PODS:-}" != kubelet ]; then tests/skip on-kubelet "$$reason"; \
	else echo "error: E2E_PODS=kubelet is asked for, but $$reason" >&2; exit 1; fi

on-1.33: ; @E2E_APISERVER_FLAGS=--emulated-version=1.33 $(MAKE) --no-print-directory on-cluster
on-1.34: ; @K8S=1.34 $(MAKE) --no-print-directory on-cluster
on-1.37: ; @K8S=1.37 $(MAKE) --no-print-directory on-cluster

fuzz: ## The property tests with very many cases (make test runs them with few), then libFuzzer, ten minutes a target
	@export PROPTEST_CASES=$${NEURALOPS_FUZZ_CASES:-200000} PROPTEST_RNG_SEED=$${PROPTEST_RNG_SEED:-$$RANDOM}; \
	echo "fuzz: PROPTEST_CASES=$$PROPTEST_CASES PROPTEST_RNG_SEED=$$PROPTEST_RNG_SEED"; \
	$(CARGO) test --locked --lib -- domain:: adapters::oci
	@tests/fuzz/run

waiting: export NEURALOPS_WAITING_RUNS ?= 1000
waiting: cluster-binaries ## A thousand runs that wait for people: what they cost while one of them is approved, and the memory of an operator in a pod
	@$(WITH) tests/operator $(CARGO) test --locked --test cluster -- runs_that_wait
	@if reason=$$(tests/cluster/can-kubelet); then \
	  $(IN_IMAGE) && E2E_IMAGES=$$archive tests/kubelet-install/fresh "$(CARGO_TARGET_DIR)/debug/neuralops" "$$image"; \
	else tests/skip on-kubelet "$$reason"; fi

soak: cluster-binaries ## The tests of faults, leadership and idling, five times over; make test runs them once
	@$(WITH) tests/operator bash -euc 'for ((round = 1; round <= $${NEURALOPS_SOAK_ROUNDS:-5}; round++)); do \
	  echo "soak: round $$round"; \
	  $(CARGO) test --locked --test cluster -- --test-threads=8 cluster_faults cluster_leadership cluster_idle; done'
