# `make` alone lists the targets.
.PHONY: help setup run test format check live test-kernels stress soak fuzz bench bench-check screenshots lock \
    install uninstall wheel deb completions fields causes editor release

help:
	@sed -n 's/^\([a-z-]*\):.*## /  \1\t/p' Makefile

setup: ## install what is missing, and make .venv/bin/execwhy
	tools/setup run

PREFIX ?= /usr/local

install: ## install for all users below PREFIX (/usr/local), with man page and completions (DESTDIR)
	tools/install "$(DESTDIR)" "$(PREFIX)"

uninstall: ## remove what make install has installed
	tools/uninstall "$(DESTDIR)" "$(PREFIX)"

wheel: ## build dist/*.whl, for pipx and pip
	tools/wheel

deb: ## build dist/*.deb, for Debian 12 and later and Ubuntu 24.04
	packaging/deb

release: ## VERSION=x.y.z: check, set the version, build, commit and tag; uploads nothing
	tools/release "$(VERSION)"

completions: ## generate completions/ after a change of the options
	tools/setup dev
	.venv/bin/python tools/completions.py

fields: ## generate the schema and the manual's FIELDS after a change of the table of fields
	tools/setup dev
	.venv/bin/python tools/fields.py

causes: ## generate the manual's CAUSES after a change of what a cause declares
	tools/setup dev
	.venv/bin/python tools/causes.py

run: ## open the monitor
	./execwhy

test: ## run all tests that this machine can run (root)
	tests/run

editor: ## write compile_commands.json, with which clangd parses each part of the BPF program
	tools/setup dev
	.venv/bin/python tools/editor.py

C_FILES = $$(find bpf tests tools -name '*.[ch]')

format: ## format the Python files with ruff and the C files with clang-format
	tools/setup dev
	.venv/bin/ruff format .
	.venv/bin/clang-format -i $(C_FILES)

check: ## run before each commit: format, lint, types, imports, tests without root
	tools/setup dev
	@.venv/bin/ruff format --check . || { echo "Run make format." >&2; exit 1; }
	@.venv/bin/clang-format --dry-run -Werror $(C_FILES) || { echo "Run make format." >&2; exit 1; }
	.venv/bin/ruff check .
	.venv/bin/mypy
	.venv/bin/lint-imports --no-cache
	.venv/bin/python -m pytest -q -n auto tests/unit tests/ui tests/pty

test-kernels: ## test every plan on Debian's kernels 5.10, 6.1 and 6.12, in QEMU (root; installs them)
	tools/kernels
	.venv/bin/python -m pytest -q tests/kernels

live: ## run only the tests on this kernel (root)
	tools/setup dev
	.venv/bin/python -m tests.own_root .venv/bin/python -m pytest -q tests/live

stress: ## fail execs in every way for five minutes, and compare two counts (root)
	tools/setup dev
	EXECWHY_STRESS_SECONDS=300 .venv/bin/python -m pytest -q -s tests/live/test_stress.py

soak: ## run load (5 minutes), random keys in storms (2 x 10) and floods of one user (1 each) (root)
	tools/setup dev
	EXECWHY_SOAK_SECONDS=300 .venv/bin/python -m pytest -q -s tests/live/test_soak.py
	EXECWHY_SOAK_SECONDS=600 .venv/bin/python -m pytest -q -s tests/ui/test_random_keys.py
	EXECWHY_SOAK_SECONDS=600 .venv/bin/python -m pytest -q -s tests/live/test_random_keys.py
	EXECWHY_FLOOD_SECONDS=60 .venv/bin/python -m pytest -q -s tests/live/test_floods.py

FUZZ_SECONDS ?= 60

fuzz: ## fuzz the readers of records, filters and files, a minute each
	tools/setup dev
	tools/setup fuzz
	for target in decode filter snapshot; do \
	    .venv/bin/python -m tests.fuzz $$target $(FUZZ_SECONDS) || exit 1; \
	done

bench: ## measure every budget, and other tools for comparison (root, 10 minutes); writes bench.json
	tools/setup bench
	@# Other tools need tracefs, which is not mounted everywhere; a mount namespace leaves the machine unchanged.
	unshare --mount sh -c 'mountpoint -q /sys/kernel/tracing || mount -t tracefs tracefs /sys/kernel/tracing; \
	    exec .venv/bin/python -m tests.bench --json bench.json'

bench-check: ## compare two files of make bench: BEFORE=a.json AFTER=b.json
	tools/setup dev
	.venv/bin/python -m tests.bench --compare $(BEFORE) $(AFTER)

screenshots: ## take the pictures again from real events (root; rsvg-convert)
	tools/setup dev
	command -v rsvg-convert >/dev/null || apt-get install -y librsvg2-bin fonts-dejavu-core
	.venv/bin/python -m screenshots.make

lock: ## generate requirements/*.txt (needs pip-tools)
	for kind in run dev; do \
	    pip-compile --quiet --generate-hashes --strip-extras --allow-unsafe --all-build-deps --no-header \
	        --no-emit-index-url --no-emit-find-links --no-emit-trusted-host \
	        $$([ $$kind = dev ] && echo --extra dev) -o requirements/$$kind.txt pyproject.toml; \
	done
	for kind in fuzz kernels; do \
	    pip-compile --quiet --generate-hashes --strip-extras --allow-unsafe --no-header \
	        --no-emit-index-url --no-emit-find-links --no-emit-trusted-host \
	        -o requirements/$$kind.txt requirements/$$kind.in; \
	done
