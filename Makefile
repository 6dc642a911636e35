# Nova's commands. `make run` and `make test` work on a fresh Debian or Ubuntu machine that has git, make, CA certificates and a Rust toolchain.

SHELL := /bin/bash
.DEFAULT_GOAL := help
.PHONY: help run demo build ui test check bench fmt picture setup clean

# A shell started by sudo or by a service often lacks rustup's folder.
export PATH := $(PATH):$(or $(CARGO_HOME),$(HOME)/.cargo)/bin
export PLAYWRIGHT_SKIP_BROWSER_DOWNLOAD := 1

# A CI run is a new clone each time: keep the build output outside of it, so that dependencies are compiled once.
ifeq ($(CI),true)
export CARGO_TARGET_DIR ?= $(or $(XDG_CACHE_HOME),$(HOME)/.cache)/nova/target
LOCKED := --locked
endif
NOVA := $(or $(CARGO_TARGET_DIR),target)/release/nova

help:
	@echo 'make run     install what is missing, build, start a development server on this machine'
	@echo 'make demo    beside a running server: publish a moving test picture to live/demo'
	@echo 'make test    every check and every test, the same as CI'
	@echo 'make check   the quick part of it: format, lints, types'
	@echo 'make bench   benches, load generators and the comparison with nginx; prints tables'
	@echo 'make build   the release binaries in target/release, the web app embedded'
	@echo 'make fmt     format the Rust code'

run: build
	@exec $(NOVA) serve --dev

demo: $(if $(wildcard $(NOVA)),,build)
	@exec $(NOVA) publish rtmp://127.0.0.1:1935/live/demo

build:
	@scripts/setup build
	@$(MAKE) --no-print-directory ui
	cargo build --release $(LOCKED) -p nova -p nova-transcode-worker

test:
	@scripts/setup test
	@scripts/test all

check:
	@scripts/test quick

bench:
	@scripts/setup bench
	@$(MAKE) --no-print-directory build
	cargo build --release $(LOCKED) -p nova-benches --bins
	cargo bench $(LOCKED) -p nova-benches
	cargo run --release $(LOCKED) -p nova-domain --features testing --example outbox
	cargo run --release $(LOCKED) -p nova-users --example graph
	cd web/ui/tests && npm ci --no-audit --no-fund
	python3 benches/side-by-side/bench.py all
	python3 benches/side-by-side/api.py

picture: build
	scripts/picture web/assets/watch.png

fmt:
	cargo fmt --all

setup:
	@scripts/setup test
	@scripts/setup tools

clean:
	cargo clean
	rm -rf web/ui/dist web/ui/node_modules

# The web app, rebuilt when a file of it changed; npm runs again only when the lock file did.
UI_FILES := $(shell find web/ui -name node_modules -prune -o -name dist -prune -o -type f -print 2>/dev/null)

ui: web/ui/dist/index.html

web/ui/node_modules/.installed: web/ui/package.json web/ui/package-lock.json
	cd web/ui && npm ci --no-audit --no-fund
	@touch $@

web/ui/dist/index.html: web/ui/node_modules/.installed $(UI_FILES)
	cd web/ui && npm run build
	@touch $@
