# The only task runner: `make` prints what it can do.
.DEFAULT_GOAL := help
SHELL := /bin/bash -o pipefail -c
CARGO ?= cargo
NEXTEST := $(shell $(CARGO) nextest --version >/dev/null 2>&1 && echo yes)
TOOLS := target/tools
DRILL := target/release/drill
# Crates with a lock file of their own: what they compare with, or their instrumentation, must not touch the service.
OUTSIDE := crates/bench crates/fuzz
# Warnings are errors with the version of Rust that Cargo.toml names; cargo refuses older ones, and newer ones only warn.
NAMED_RUST := $(shell sed -nE 's/^rust-version = "(.*)"/\1/p' Cargo.toml)
RUST := $(shell rustc --version 2>/dev/null | sed -E 's/^rustc ([0-9]+\.[0-9]+).*/\1/')
STRICT := $(if $(filter $(NAMED_RUST),$(RUST)),-D warnings)
SERVICES = $(CARGO) run --quiet --package deed-testkit --bin services -- run
AUDITABLE := $(TOOLS)/bin/cargo-auditable $(TOOLS)/bin/auditable2cdx
DENY := $(shell command -v cargo-deny || echo $(TOOLS)/bin/cargo-deny)

.PHONY: help
help: ## print the targets
	@grep -hE '^[a-z-]+:.*##' $(MAKEFILE_LIST) | sed -E 's/:.*## /\t/' | expand -t 14

.PHONY: dev
dev: toolchain ## build and run everything, with a sandbox DNS and a printed walk-through (MODE=server: on PostgreSQL and RabbitMQ)
ifeq ($(MODE),server)
	@deploy/scripts/install.sh initdb=postgresql rabbitmq-server=rabbitmq-server kill=procps
	$(CARGO) build --quiet --package deed
	$(SERVICES) --dev -- target/debug/deed dev --processes $(ARGS)
else
	$(CARGO) run --quiet --package deed -- dev $(ARGS)
endif

.PHONY: test
test: services ## run every test, and fire a property-based tester at both modes for a moment
	$(CARGO) fetch --locked --quiet
ifeq ($(NEXTEST),yes)
	$(SERVICES) -- $(CARGO) nextest run --workspace --no-fail-fast
else
	$(SERVICES) -- $(CARGO) test --workspace --no-fail-fast
endif
	$(CARGO) test --workspace --doc --quiet
	$(CARGO) build --quiet --package deed
	deploy/scripts/fuzz-api.sh embedded
	$(SERVICES) --dev -- deploy/scripts/fuzz-api.sh server

.PHONY: test-unit
test-unit: ## run the tests that need no service, no root rights and nothing but Rust, a C compiler and SQLite
	$(CARGO) fetch --locked --quiet
	$(CARGO) test --workspace --exclude deed-store-postgres --lib --bins \
		--test asyncapi --test diagnoses --test proto --test judging --test verdicts --test words --test scenarios \
		--test contests --test takeovers --test properties --test schedule --test store --test in_process \
		--test conformance --test plans --test file --test sandbox --test scripted --test descriptors --test check_schedule --test dependencies --test vocabulary --test modules

.PHONY: services
services: toolchain ## install the servers that tests start as private instances (Debian packages)
	@deploy/scripts/install.sh knotd=knot initdb=postgresql rabbitmq-server=rabbitmq-server kill=procps curl=curl \
		ip=iproute2 nsd=nsd named=bind9 dnssec-signzone=bind9-utils pdns_server=pdns-server \
		/usr/lib/$(shell uname -m)-linux-gnu/pdns/libbindbackend.so=pdns-backend-bind unbound=unbound \
		/usr/share/doc/publicsuffix/examples/test_psl.txt=publicsuffix

.PHONY: toolchain
toolchain:
	@deploy/scripts/install.sh cc=build-essential curl=curl sqlite3=sqlite3 initdb=postgresql

.PHONY: check
check: toolchain $(DENY) ## formatting, lints, docs, dependency rules, generated files, of every manifest
	$(if $(STRICT),,@echo "Rust $(RUST) is not $(NAMED_RUST), which Cargo.toml names: warnings are not errors")
	$(CARGO) fmt --all --check
	$(CARGO) clippy --workspace --all-targets --quiet -- $(STRICT)
	RUSTDOCFLAGS="$(STRICT)" $(CARGO) doc --workspace --no-deps --quiet
	$(CARGO) fetch --locked --quiet
	$(DENY) --offline --log-level error check bans licenses sources
	set -e; for crate in $(OUTSIDE); do $(MAKE) --no-print-directory check-outside CRATE=$$crate; done
	crates/store-sqlite/prepare.sh --check
	crates/store-postgres/prepare.sh --check
	$(CARGO) build --quiet --package deed
	deploy/checks/run.sh
	$(CARGO) test --quiet --package deed-api --lib -- openapi
	$(CARGO) test --quiet --package deed-claims --package deed-diagnosis --test proto --test asyncapi --test diagnoses
	$(CARGO) test --quiet --package deed-service --lib -- sample metrics_page
	$(CARGO) test --quiet --package deed --test dependencies --test vocabulary --test modules
	@deploy/scripts/install.sh unbound-checkconf=unbound /usr/share/dns/root.key=dns-root-data
	PATH=$$PATH:/usr/sbin unbound-checkconf deploy/unbound/unbound.conf

.PHONY: check-outside
check-outside:
	$(CARGO) fetch --locked --quiet --manifest-path $(CRATE)/Cargo.toml
	$(CARGO) fmt --manifest-path $(CRATE)/Cargo.toml --check
	$(CARGO) clippy --manifest-path $(CRATE)/Cargo.toml --target-dir target/outside --locked --all-targets --quiet -- $(STRICT)
	RUSTDOCFLAGS="$(STRICT)" $(CARGO) doc --manifest-path $(CRATE)/Cargo.toml --target-dir target/outside --no-deps --quiet
	$(DENY) --manifest-path $(CRATE)/Cargo.toml --config $(CURDIR)/deny.toml --offline --log-level error check bans licenses sources

.PHONY: image
image: toolchain $(AUDITABLE) ## make the container image, without a container engine, and list what is in it (target/image)
	@deploy/scripts/install.sh umoci=umoci skopeo=skopeo update-ca-certificates=ca-certificates python3=python3
	deploy/image/build.sh

.PHONY: try-image
try-image: services ## have the image do the main job, locked up as in production, alone and on PostgreSQL and RabbitMQ (as root)
	@deploy/scripts/install.sh umoci=umoci runc=runc python3=python3
	deploy/image/try.py
	$(SERVICES) --dev -- deploy/image/try.py

.PHONY: generate
generate: toolchain ## renew generated files: OpenAPI, AsyncAPI, sample configuration, shipped events, docs/DIAGNOSES.md, docs/METRICS.md, dashboards, checked SQL, rules for Kubernetes
	crates/store-sqlite/prepare.sh
	crates/store-postgres/prepare.sh
	UPDATE_OPENAPI=1 $(CARGO) test --quiet --package deed-api --lib -- openapi
	UPDATE_SAMPLE=1 $(CARGO) test --quiet --package deed-service --lib -- sample
	DEED_GENERATE=1 $(CARGO) test --quiet --package deed-claims --package deed-diagnosis --test proto --test asyncapi --test diagnoses
	DEED_GENERATE=1 $(CARGO) test --quiet --package deed-service --lib -- metrics_page
	deploy/checks/run.sh deploy/grafana/make.py
	deploy/prometheus/kubernetes.sh > deploy/kubernetes/components/monitoring/rules.yaml

.PHONY: fmt
fmt: ## format everything
	$(CARGO) fmt --all

.PHONY: bench
bench: services ## measure against plain references in the same run (ROW=append-sqlite for one row)
	@deploy/scripts/install.sh dnsperf=dnsperf
	$(CARGO) build --release --quiet --package deed
	$(CARGO) run --release --quiet --manifest-path crates/bench/Cargo.toml --target-dir target/bench-build -- $(ROW)

.PHONY: drill
drill: drills ## break every part of the server mode on purpose under load, and check what is left (ARGS="--minutes 10")
	$(DRILL) faults --deed target/release/deed $(ARGS)

.PHONY: restart-drill
restart-drill: drills ## start every process of the server mode anew, one by one, and count what clients notice
	$(DRILL) restart --deed target/release/deed $(ARGS)

.PHONY: upgrade-drill
upgrade-drill: drills ## go on from an older version (PREVIOUS=commit or executable) by way of a mixture, and one step back
	$(DRILL) upgrade --deed target/release/deed --previous $$(crates/drill/previous.sh $(PREVIOUS)) $(ARGS)

.PHONY: restore-drill
restore-drill: drills ## back up under load, lose everything, restore to an older point and go on, on PostgreSQL and SQLite
	$(DRILL) restore --deed target/release/deed $(ARGS)

.PHONY: drills
drills: services
	$(CARGO) build --release --quiet --package deed
	$(CARGO) build --release --quiet --package deed-drill

.PHONY: observe
observe: services ## run everything before a real Prometheus, break it once for every alert, and see each fire and end (ARGS="--list")
	@deploy/scripts/install.sh prometheus=prometheus setpriv=util-linux python3=python3
	$(CARGO) build --quiet --package deed
	$(SERVICES) --dev --control -- setpriv --pdeathsig TERM deploy/observe/observe.py $(ARGS)

.PHONY: fuzz-api
fuzz-api: services ## fire a property-based tester at both modes, DEED_FUZZ_SECONDS (300) at each, with our OpenAPI (DEED_CONTRACTS=FOLDER: others too)
	$(CARGO) build --quiet --package deed
	DEED_FUZZ_SECONDS=$${DEED_FUZZ_SECONDS:-300} deploy/scripts/fuzz-api.sh embedded
	DEED_FUZZ_SECONDS=$${DEED_FUZZ_SECONDS:-300} $(SERVICES) --dev -- deploy/scripts/fuzz-api.sh server

.PHONY: fuzz
fuzz: toolchain ## feed made-up bytes to what reads foreign input, FUZZ_SECONDS (600) for each target (TARGET=names for one)
	crates/fuzz/run.sh $(TARGET)

$(DENY):
	$(CARGO) install cargo-deny --locked --quiet --root $(TOOLS)

$(AUDITABLE):
	$(CARGO) install $(notdir $@) --locked --quiet --root $(TOOLS)
