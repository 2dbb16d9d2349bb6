# Goldsmith. `make` alone lists what there is. Everything installs what it needs; all of it can be run again.
.DEFAULT_GOAL := help
.PHONY: help setup demo test test-all lint sanity unit browser integration molecule vm mutation matrix lock docs reference packer-current clean

SHELL := /bin/bash
export PATH := $(CURDIR)/.venv/bin:$(PATH)
export CHECKPOINT_DISABLE := 1

help: ## list the targets
	@sed -n 's/^\([a-z-]*\):.*## /\1\t/p' $(MAKEFILE_LIST) | expand -t 16

setup: ## install what is missing (apt, .venv) and start Docker
	@scripts/setup.sh

demo: setup ## the main job: one definition, an image and two live hosts, and the proof that they are equal
	@scripts/with-docker.sh python -m examples.demo

test: setup ## everything that CI runs: lint, unit, then a real browser, Docker, Packer, sshd, Molecule and QEMU
	@scripts/with-docker.sh scripts/test.sh lint reference galaxy sanity unit browser integration molecule molecule_changed vm leftovers

test-all: test ## test, and what takes hours: a current Packer, every scenario, each role's image and host, old ansible-cores, mutation
	@scripts/with-docker.sh scripts/test.sh packer_current slow molecule_roles matrix mutation leftovers

mutation: setup ## every task of every role is taken out once, and an assertion must notice; many hours (test-all: one of each)
	@scripts/with-docker.sh python scripts/mutation.py

matrix: setup ## unit tests and the scenario `default` with each ansible-core that we support
	@scripts/with-docker.sh scripts/test.sh matrix leftovers

lint: setup ## ruff, mypy, yamllint, ansible-lint, shellcheck, packer fmt and validate
	@scripts/with-docker.sh scripts/test.sh lint

sanity: setup ## ansible-test sanity on the collection's tarball, and Galaxy's importer
	@scripts/with-docker.sh scripts/test.sh galaxy sanity

unit: setup ## unit tests
	@scripts/with-docker.sh scripts/test.sh unit

browser: setup ## the HTML report in Chromium: by mouse and keyboard, on a phone, in the dark, on paper
	@scripts/with-docker.sh scripts/test.sh browser

integration: setup ## tests on real Docker, Packer and sshd
	@scripts/with-docker.sh scripts/test.sh integration leftovers

vm: setup ## a hardened virtual machine: what no container can prove, and lynis
	@scripts/with-docker.sh scripts/test.sh vm leftovers

molecule: setup ## the scenario `default`: all roles together
	@scripts/with-docker.sh scripts/test.sh molecule leftovers

docs: setup ## write again what is generated: schemas, roles' tables and index; then the reference
	@scripts/docs.sh
	@scripts/with-docker.sh scripts/test.sh reference

reference: setup ## pages for a browser of every role, module and playbook, from what the sources say: .cache/docs/html
	@scripts/with-docker.sh scripts/test.sh reference

lock: setup ## resolve requirements.lock and the matrix's anew from pyproject.toml
	@uv pip compile --quiet --generate-hashes --no-emit-index-url --no-emit-find-links --python-version 3.11 \
	  --extra test --custom-compile-command "make lock" --upgrade pyproject.toml -o requirements.lock
	@for version in 2.17 2.18; do \
	  echo "ansible-core==$$version.*" | uv pip compile --quiet --generate-hashes --no-emit-index-url --no-emit-find-links \
	    --python-version 3.11 --extra test --constraint - --custom-compile-command "make lock" --upgrade \
	    pyproject.toml -o tests/matrix/$$version.lock || exit; \
	done

packer-current: ## a current Packer and its plugins, built with Go, to try the template with: .cache/packer-current
	@tools/packer/build.sh

clean: ## remove all that we created here and in Docker, and nothing else
	@scripts/clean.sh
