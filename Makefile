# mydocker: `make` shows what there is to do.
.DEFAULT_GOAL := help
.NOTPARALLEL:
.PHONY: help setup demo demo-images demo-apps test test-unit test-integration test-v2 soak lint type \
	bench docs docs-serve docs-zensical casts test-docs clean uninstall root \
	ch3 ch4 ch5 ch6 chN start watch hint solution progress reset grade doctor clean-host \
	box vm vm-ssh vm-down test-vm test-vagrant

PYTHON := .venv/bin/python3
V2_LANE := lab/uml/run.sh $(PYTHON) -m pytest -m v2
LAB_BIN ?= /usr/local/bin/mydocker
export LAB_BIN
# Material tells at every build that it ends in 2027; docs/adr/0027-the-site.md says what we do then.
MKDOCS := NO_MKDOCS_2_WARNING=1 $(PYTHON) -m mkdocs

help: ## Show this help
	@awk -F ':.*## ' '/^[a-zN0-9-]+:.*## / { printf "  make %-17s %s\n", $$1, $$2 }' $(firstword $(MAKEFILE_LIST))

# The course. The words are those of lab/mydocker-lab; here they come as CH=4, STEP=4.2, V=1. It runs
# here if this is a lab, else in the lab machine that is up.
LAB := lab/mydocker-lab
export CH STEP PURE SPOIL OUT LANG_LAB

ch3 ch4 ch5 ch6:
	@$(LAB) $@ $(if $(V),-v)

start: ## Begin a chapter: write its starter files into work/ (CH=4)
	@$(LAB) start $(CH)

chN: ## Check a chapter, the reference or yours: make ch3 (STEP=3.2, V=1, PURE=1)

watch: ## Check a chapter again at every change (CH=4)
	@$(LAB) watch $(CH)

hint: ## A hint for a step; again for a stronger one (STEP=4.2)
	@$(LAB) hint $(STEP)

solution: ## The reference's solution of a step that has passed (STEP=4.2, SPOIL=1)
	@$(LAB) solution $(STEP)

progress: ## The board: chapters, steps, points
	@$(LAB) progress

reset: ## Put your files of a chapter aside and begin anew (CH=4)
	@$(LAB) reset $(CH)

grade: ## Grade a submission, or a directory of them (SUBMISSION=dir)
	@$(LAB) grade "$(SUBMISSION)"

doctor: ## Is this machine fit for the course?
	@$(LAB) doctor

clean-host: ## Remove what mydocker left on this host, and nothing else
	@$(LAB) clean-host

# The lab machine: under plain QEMU here, or with Vagrant (`vagrant up`).
VM := lab/vm/lab-vm
export FRESH

box: setup ## Make the lab's box from Debian packages, unless it is made (docs/setup.md)
	lab/make-box.sh

vm: ## Start the lab machine under QEMU; asleep, it is back in seconds
	@$(VM) up

vm-ssh: ## A shell in the machine that is up
	@$(VM) ssh

vm-down: ## Put the machine to sleep (FRESH=1: remove it)
	@$(VM) down

test-vm: setup ## Run tests and chapters in a fresh machine: real cgroup v2, systemd (LAB_TESTS='…')
	lab/provision.sh install vm
	LAB_FORMATS= lab/make-box.sh
	$(VM) test

test-vagrant: setup ## The whole way: vagrant up, make ch5, vagrant destroy; emulated, no download
	lab/provision.sh install vagrant
	LAB_FORMATS=libvirt lab/make-box.sh
	lab/test-vagrant.sh

setup: root ## Install packages, .venv, the launcher and the default image (seconds when done)
	@lab/provision.sh

test test-integration test-vm: export LAB_WITH = tests
demo: setup ## Play the book's commands and show what they do
	@$(PYTHON) lab/demo.py

demo-images: setup ## Make nginx, redis and a Flask app of Debian's packages (minutes, once)
	@$(PYTHON) -m lab.apps.build

demo-apps: demo-images ## Play the book's 7.1 and 7.2: nginx by a port, Flask and Redis by name
	@$(PYTHON) lab/demo.py 7.1 7.2

test: setup lint type ## Run every check and every test
	$(if $(shell command -v linux.uml 2>&1),$(V2_LANE),@echo "no user-mode-linux here: no cgroup v2 lane")
	$(PYTHON) -m pytest

test-unit: setup ## Run the quick tests
	$(PYTHON) -m pytest tests/unit

test-integration: setup ## Run the tests that start real containers
	$(PYTHON) -m pytest tests/integration

soak: setup ## Run the long tests that `make test` runs in a shorter form
	$(PYTHON) -m pytest -m soak

test-v2: setup ## Run the v2 tests on a cgroup v2 kernel (User-Mode Linux)
	$(V2_LANE)

lint: $(PYTHON) ## Check style, and that imports go down only
	.venv/bin/ruff check .
	.venv/bin/ruff format --check .
	.venv/bin/lint-imports --no-logo

type: $(PYTHON) ## Check types
	$(PYTHON) -m mypy

bench: setup ## Measure mydocker beside runc, podman and docker (BENCH=--quick)
	$(PYTHON) -m bench $(BENCH)

docs: .venv/docs ## Build the course's site into build/site
	$(MKDOCS) build

docs-zensical: $(PYTHON) ## Try Material's successor on the same pages; it may fail (ADR 0027)
	-$(PYTHON) -m venv build/zensical && build/zensical/bin/pip install --quiet zensical
	sed 's|^site_dir: .*|site_dir: build/site-zensical|' mkdocs.yml > .zensical.yml
	-build/zensical/bin/zensical build --clean --config-file .zensical.yml; rm -f .zensical.yml

docs-serve: .venv/docs ## Serve the site at http://127.0.0.1:8000 and build it again on every change
	$(MKDOCS) serve

casts: setup ## Record the terminal sessions of the site anew
	$(PYTHON) -m lab.docs.record

test-docs: setup .venv/docs ## Run every shell block of the pages, and look at the site in a browser
	$(PYTHON) -m lab.docs.blocks
	$(PYTHON) -m pytest -m "docs or not docs" tests/docs

clean: ## Remove what set-up and the tools made in this directory, the machine of `make vm` too
	[ ! -e build/vm/lab ] || FRESH=1 $(VM) down
	rm -rf .venv build dist .tox .hypothesis .import_linter_cache .mypy_cache .pytest_cache .ruff_cache
	find . -name __pycache__ -prune -exec rm -rf {} +

uninstall: root ## Remove the launcher (STATE=1: every container, image and volume too)
	$(if $(STATE),lab/remove-state.sh)
	lab/provision.sh undo
	rm -f "$(LAB_BIN)"

root:
	@[ "$$(id -u)" = 0 ] || { echo "this needs root: sudo make $(MAKECMDGOALS)" >&2; exit 1; }

$(PYTHON):
	@echo "no .venv yet: sudo make setup" >&2; exit 1

.venv/docs: pyproject.toml | $(PYTHON)
	$(PYTHON) -c 'import tomllib; print(*tomllib.load(open("pyproject.toml", "rb"))["project"]["optional-dependencies"]["docs"], sep="\n")' > .venv/docs.txt
	$(PYTHON) -m pip install --quiet --disable-pip-version-check --root-user-action=ignore --use-pep517 --requirement .venv/docs.txt
	touch $@
