# What a person or CI runs. Every target installs what it misses (e2e/setup), Debian packages only
# as root; whoever is not gets the one line to run.
SHELL := /bin/bash
.SHELLFLAGS := -eu -o pipefail -c
.ONESHELL:
.DEFAULT_GOAL := help
MAKEFLAGS += --no-print-directory

TARGET := $(or $(CARGO_TARGET_DIR),target)
RELEASE := $(TARGET)/release
.PHONY: help run test e2e sim fuzz faults proofs bench suites lint images publish deps
.PHONY: clean-cache release

help: ## this list
	@sed -n 's/^\([a-z0-9-]*\):.*## \(.*\)/\1|\2/p' Makefile | while IFS='|' read -r name what; do
		printf '  make %-12s %s\n' "$$name" "$$what"
	done

run: release ## three brokers from examples/quickstart in the foreground, until Ctrl-C
	@exec $(RELEASE)/ottla-operator local examples/quickstart

release:
	@e2e/setup/packages build
	e2e/setup/rust
	e2e/setup/release

deps: ## fetch and build what the tests need, before they ask for it
	@e2e/setup/all

test: ## every test that needs no Kubernetes, real clients included
	@e2e/run-tests

e2e: ## helm, kubectl and stock clients on kind, or on KUBECONFIG's cluster; LONG=1: the long steps
	@LONG=$(LONG) e2e/kind/run

sim: ## the simulated cluster, seed after seed for SECONDS=120; SEED=n replays one; PLANTED=1|bugs
	@e2e/setup/rust
	cargo test --quiet --profile simulation -p ottla-broker --features simulation \
		--test simulation -- \
		$(if $(PLANTED),--planted $(filter-out 1,$(PLANTED)) $(SEEDS:%=--seeds %),\
		$(if $(SEED),--seed $(SEED),--seconds $(or $(SECONDS),120))) \
		$(if $(FROM),--seed $(FROM))

fuzz: ## decoders against hostile bytes, APIs against requests of no sense; SECONDS=60 each
	@e2e/setup/rust
	e2e/fuzz $(or $(SECONDS),60)

faults: release ## the fault table on real processes under load; ROWS="power disk" for some
	@e2e/faults $(ROWS)

proofs: release ## exactly once under kills, by Kafka's own clients; NAME=copiers, MINUTES=20
	@MINUTES=$(or $(MINUTES),20) e2e/proofs/run $(NAME)

bench: release ## beside Apache Kafka, or AGAINST=folder of another build; QUICK=1, ROW=name
	@e2e/bench/run $(if $(QUICK),--quick) $(if $(ROW),--row $(ROW)) \
		$(if $(AGAINST),--against $(abspath $(AGAINST)))

suites: release ## Kafka's own tests on our brokers; NAME="tools TopicCommandTest", JOBS=2
	@OTTLA_BIN_DIR=$(RELEASE) cargo run -q -p ottla-e2e --bin kafka-suites -- $(NAME)

lint: ## formatting, clippy, documentation, manifests
	@e2e/setup/rust
	cargo fmt --all --check
	cargo clippy --quiet --workspace --all-targets -- -D warnings
	RUSTDOCFLAGS="-D warnings -A rustdoc::private_intra_doc_links" \
		cargo doc --quiet --workspace --no-deps --document-private-items

images: ## the container images ottla-broker and ottla-operator, by docker or buildah
	@e2e/kind/images

publish: ## images with bills of materials, and the chart, to REGISTRY=host/path; TAG=1.2.3
	@REGISTRY=$(REGISTRY) e2e/publish/run

clean-cache: ## drop what was fetched and built outside the checkout
	@rm -rf "$$(e2e/setup/cache)"
