# The commands of this repository. `make` alone lists them.
#
# DEMO_FLAGS   passed on to `crm demo`, for example DEMO_FLAGS=--exit
# CARGO_FLAGS  passed on to the build of `crm`, for example
#              CARGO_FLAGS='--features download-postgres'
# LEAK_OPERATIONS, LEAK_SEED   how much `make test-long` does, and from where it starts
# TENANT_CALLS, HOSTILE_RUNS   calls of two tenants, and runs of hostile guests, in `make test-long`
# DETERMINISM_RUNS   runs that are run again by another process, in `make test-long`
# CRASH_KILLS, CRASH_SEED   how often `make test-long` kills a server, and which way
# FUZZ_SECONDS, FUZZ_SEED   how long `make test-fuzz` looks, and from where it starts

.DEFAULT_GOAL := help
.NOTPARALLEL:
.PHONY: help setup demo test test-long test-fuzz plugins-js plugins-py lint bench bench-full

# A shell that was opened before Rust was installed does not have it on its PATH yet.
export PATH := $(PATH):$(HOME)/.cargo/bin
export CARGO_FLAGS
CARGO := $(or $(shell command -v cargo 2>/dev/null),cargo)
TARGET := $(or $(CARGO_TARGET_DIR),target)

help: ## List these commands
	@awk -F ':.*## ' '/^[a-z-]+:.*## / { printf "make %-10s  %s\n", $$1, $$2 }' $(firstword $(MAKEFILE_LIST))

setup: ## Find or install what building and testing need
	@.ci/setup

# `exec`, so that Ctrl-C and the exit status are those of crm.
demo: ## Build everything, then serve a demo tenant with data (DEMO_FLAGS=--exit ends when it is imported)
	@.ci/setup demo
	$(CARGO) build --release --bin crm $(CARGO_FLAGS)
	@exec $(TARGET)/release/crm demo $(DEMO_FLAGS)

# The end-to-end tests start `crm` itself, so it is built first.
test: ## Run all tests
	@.ci/setup test
	$(CARGO) build --workspace --bins
	$(CARGO) test --workspace

test-long: export LEAK_OPERATIONS ?= 1000000
test-long: export TENANT_CALLS ?= 100000
test-long: export HOSTILE_RUNS ?= 10000
test-long: export DETERMINISM_RUNS ?= 1000
test-long: export CRASH_KILLS ?= 200
test-long: ## Look for leaks between tenants with LEAK_OPERATIONS, 1000000 unless given (LEAK_SEED repeats a run)
	@.ci/setup test
	$(CARGO) test -p crm-sandbox --test memory --test sandbox -- --nocapture hostile_guests_leave two_tenants_see
	$(CARGO) build --workspace --bins
	$(CARGO) test -p crm-tests --test e2e -- --nocapture leak:: determinism:: crash::kills::

# Needs Python and PyPI, so it stands apart from the tests.
test-fuzz: ## Fuzz the HTTP surface for FUZZ_SECONDS, 240 unless given (FUZZ_SEED for another seed)
	@.ci/setup test
	$(CARGO) build --bin crm
	@tests/fuzz/run $(TARGET)/debug/crm

plugins-js: ## Build the examples in JavaScript and run them (npm's packages go to target/toolchains)
	$(CARGO) test -p crm-tests --test languages -- --nocapture typescript node

plugins-py: ## Build the examples in Python and run them (PyPI's packages go to target/toolchains)
	$(CARGO) test -p crm-tests --test languages -- --nocapture python

lint: ## Check formatting, lints, licences and sources
	$(CARGO) fmt --all --check
	$(CARGO) clippy --workspace --all-targets -- -D warnings
	@if $(CARGO) deny --version >/dev/null 2>&1; \
	then $(CARGO) deny --all-features check bans licenses sources; \
	else echo "lint: cargo-deny is not installed, so licences and sources are not checked (cargo install cargo-deny)"; \
	fi

bench: ## Measure against pgbench and bare wasmtime, into target/bench.json
	@.ci/setup bench
	$(CARGO) bench -p crm-tests --bench bench

bench-full: export BENCH_FULL = 1
bench-full: bench ## The same with 10,000 tenants, a million records and a backlog of 100,000
