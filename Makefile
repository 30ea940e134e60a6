# make demo    renders a sample and converts it: the main job, from a clean clone (OFFLINE=1: fetches nothing)
# make demo-perceive   renders a film and makes a page of what is in it
# make test    runs every test of the project
# make lint    formatting, clippy, dependency rules, shell and container files
# make check   lint, test, book and release-check: what a change must pass
# make book  checks the book (links, commands, generated pages) and builds target/book/html/index.html
# make release-check   packs the debug programs as a release is packed, and checks the result
# make release   builds and checks what a release publishes, into target/dist: static programs, bills, sums
# make coverage  runs the tests under cargo-llvm-cov and reports, into target/coverage
# make clips CLIPS=DIR   converts every clip of a folder, alone and through the server, and checks
# make corpus  makes some 300 small films of every kind, converts them and checks each
# make field FIELD=DIR   the same checks on a folder of films that broke something once
# make soak    kills, stops and freezes daemons on emulated AWS, 200, 100 and 8 times; kills 50 conversions
# make upgrade FROM=path/to/video-worker   the previous release's daemon and this one share a ledger for 100 jobs
# make pages   has a browser do on the pages of `parallax serve` and on the console what people do; installs Chromium
# make fuzz    made-up inputs for every parser, for longer than the tests do
# make bench   measures against peers in the same run (BENCH_PYTHON: a Python with PyTorch)
# make quality measures right eyes against true ones and writes docs/quality.md
# make checkov  security rules over Terraform and the container files; installs 300 MB once
# make bench-worker   measures the daemon on AWS against a moto server on this machine

CARGO ?= cargo
OUT ?= target/demo
CLIPS ?=
FIELD ?=
# Films that `make corpus` and `make field` convert at the same time.
FILMS_AT_ONCE ?= 3
# The build that `make clips` converts with: release or debug.
CLIPS_BUILD ?= release

# Where tools/setup puts Python tools that the machine lacks.
export PATH := $(or $(XDG_CACHE_HOME),$(HOME)/.cache)/parallax/venv/bin:$(PATH)

.PHONY: demo demo-perceive test lint check book release release-check coverage clips corpus field pages fuzz quality bench bench-worker checkov soak upgrade setup setup-lint fmt

demo: setup
	$(CARGO) build --release --locked -p parallax -p parallax-scene
	@mkdir -p $(OUT)
	target/release/parallax-scene $(OUT)/sample.mp4
ifndef OFFLINE
	@echo "Fetching a small depth network, 99 MB; OFFLINE=1 goes without."
	@target/release/parallax weights fetch depth-anything-v2-small --tries 1 \
		|| echo "Without it the engine draft makes the depth, which is a preview."
endif
	target/release/parallax convert $(OUT)/sample.mp4 --overwrite --restart
	@echo
	@echo "The result: $(OUT)/sample_LRF_Full_SBS.mp4"
	@echo "Watch it in a headset or on a 3D screen (side by side), or cross-eyed in any player;"
	@echo "for red-cyan glasses: target/release/parallax convert $(OUT)/sample.mp4 --layout anaglyph"

demo-perceive: setup
	$(CARGO) build --release --locked -p parallax -p parallax-scene -p parallax-tiny-weights
	tools/demo-perceive target/release/parallax target/release/parallax-scene target/release/parallax-tiny-weights \
		target/demo-perceive

test: setup
	$(CARGO) build --locked --workspace --bins
	$(CARGO) nextest run --locked --workspace
	$(CARGO) test --locked --workspace --doc -q

lint: setup-lint
	$(CARGO) fmt --all --check
	$(CARGO) clippy --locked --workspace --all-targets -- -D warnings
	$(CARGO) deny --log-level error check bans licenses sources
	tools/check-advisories
	$(CARGO) hakari generate --diff
	$(CARGO) hakari manage-deps --dry-run
	tools/lint-files
	tools/check-architecture --self-test
	tools/check-architecture
	tools/check-terraform --self-test
	tools/check-terraform

check: lint test book release-check

book: setup-lint
	$(CARGO) build --locked --workspace --bins
	tools/check-book

release: setup-lint
	tools/release

# Of the whole workspace, as the tests have it: with other features much would be built again.
release-check: setup-lint
	$(CARGO) build --locked --workspace --bins
	tools/release --dry-run --binaries target/debug

coverage: setup
	command -v cargo-llvm-cov >/dev/null || $(CARGO) install --locked --quiet cargo-llvm-cov
	@mkdir -p target/coverage
	eval "$$($(CARGO) llvm-cov show-env --export-prefix)" && $(CARGO) llvm-cov clean --workspace \
		&& $(CARGO) build --locked --workspace --bins && $(CARGO) nextest run --locked --workspace \
		&& $(CARGO) llvm-cov report --lcov --output-path target/coverage/lcov.info \
		&& $(CARGO) llvm-cov report >target/coverage/summary.txt

clips: setup
	@test -n "$(CLIPS)" || { echo "CLIPS=DIR names the folder of clips"; exit 2; }
	$(CARGO) build --locked --workspace --bins
ifeq ($(CLIPS_BUILD),release)
	$(CARGO) build --release --locked -p parallax
endif
	target/debug/parallax-tiny-weights target/tiny-weights
	tools/check-clips target/$(CLIPS_BUILD)/parallax $(CLIPS) target/tiny-weights
	CLIPS="$(abspath $(CLIPS))" $(CARGO) nextest run --locked -p parallax-tests --test clips --success-output immediate

corpus: setup
	$(CARGO) build --locked --workspace --bins
	rm -rf target/corpus
	tools/corpus-films target/corpus
	tools/corpus target/corpus --parallax target/debug/parallax --jobs $(FILMS_AT_ONCE) --quiet --open tools/corpus.d/open.json --json target/corpus.json

field: setup
	@test -n "$(FIELD)" || { echo "FIELD=DIR names the folder of films"; exit 2; }
	$(CARGO) build --locked --workspace --bins
	tools/corpus $(FIELD) --parallax target/debug/parallax --jobs $(FILMS_AT_ONCE) --expect tools/corpus.d/field.json \
		--open tools/corpus.d/open.json

pages: setup
	@tools/setup pages
	$(CARGO) build --locked --workspace --bins
	tools/check-pages target/debug/parallax target/debug/parallax-scene target/debug/video-worker target/pages
	tools/demo-perceive target/debug/parallax target/debug/parallax-scene target/debug/parallax-tiny-weights target/pages/report
	tools/check-report target/pages/report/report.html target/pages

fuzz: setup
	tools/fuzz
	$(CARGO) build --locked -p inference-server
	tools/check-openapi target/debug/inference-server

bench: setup
	$(CARGO) build --release --locked -p parallax -p parallax-scene -p parallax-tiny-weights
	$(CARGO) bench --locked -p parallax-stereo --bench splat --no-run
	$(CARGO) bench --locked --workspace --bench networks --no-run
	tools/bench

quality:
	$(CARGO) run --locked -p parallax-quality

soak: setup
	$(CARGO) build --locked -p video-worker -p sagemaker-emulator
	SOAK_KILLS=200 SOAK_JOBS=40 SOAK_SEGMENTS=8 SOAK_DRAINS=100 \
		SOAK_FREEZES=8 SOAK_FREEZE_SECONDS=90 \
		$(CARGO) nextest run --locked --profile soak -p parallax-tests -E 'binary(cloud)' --no-capture
	$(CARGO) build --locked -p parallax
	KILLS=50 $(CARGO) nextest run --locked --profile soak -p parallax-tests -E 'binary(kill)' --no-capture

upgrade: setup
	@[ -x "$(FROM)" ] || { echo "make upgrade FROM=path/to/video-worker: the program of the previous release" >&2; exit 1; }
	$(CARGO) build --locked -p video-worker -p sagemaker-emulator
	UPGRADE_FROM=$(abspath $(FROM)) UPGRADE_JOBS=100 \
		$(CARGO) nextest run --locked --profile soak -p parallax-tests -E 'test(share_a_ledger)' --no-capture

bench-worker: setup
	$(CARGO) build --release --locked -p video-worker
	$(CARGO) build --locked -p sagemaker-emulator
	VIDEO_WORKER=$(abspath target/release/video-worker) \
		$(CARGO) test --locked -p parallax-tests --bench worker

# Not part of `lint`: the installation takes longer than all linters together.
CHECKOV = $(or $(XDG_CACHE_HOME),$(HOME)/.cache)/parallax/checkov
checkov:
	@[ -x $(CHECKOV)/bin/checkov ] || { python3 -m venv $(CHECKOV) && $(CHECKOV)/bin/pip install --quiet checkov==3.3.30; }
	$(CHECKOV)/bin/checkov --config-file terraform/checkov.yaml --directory .

setup:
	@tools/setup

setup-lint: setup
	@tools/setup lint

fmt:
	$(CARGO) fmt --all
