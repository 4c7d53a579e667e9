# The two commands of the README, and what CI calls. Everything is installed into .venv, once per change of pyproject.toml.
PYTHON ?= python3
VENV := .venv
BIN := $(VENV)/bin
STAMP := $(VENV)/installed

.PHONY: export test test-all test-tiny test-unit house bench toolchains zoo native android docs lint types wheel clean

export: $(STAMP)  ## a verified int8 TFLite model of the shipped OneNet, in build/
	$(BIN)/onenet-export --target tflite --int8 --preview --out build

# Two workers with two threads each would spend their time waiting for one another. In order of their names, the tests of devices, few
# and long, come first.
PYTEST := OMP_NUM_THREADS=1 $(BIN)/python -m pytest -n 2 --dist loadfile --no-loadscope-reorder --durations=20

test: $(STAMP)  ## the tests, of many alike a few; names the slowest 20
	$(PYTEST) -m "not thorough"

test-all: $(STAMP)  ## every test
	$(PYTEST)

test-tiny: $(STAMP)  ## the main job in a few seconds
	$(BIN)/python -m pytest -q tests/test_tiny.py

test-unit: $(STAMP)  ## the tests that need no converter
	$(BIN)/python -m pytest tests/unit

house: $(STAMP)  ## the rules of this code: imports, sizes, types, docs
	$(BIN)/python -m tests.house.measures
	$(BIN)/python -m pytest -q tests/house

docs: $(STAMP)  ## the reference of commands, rules and cards, from the code
	$(BIN)/python -m docs.reference

# Some hours. What is measured already is kept: `python -m bench.front --only NAME --again` measures one model anew.
bench: $(STAMP)  ## the deployment front: trained models, then every system in full width (hours), into docs
	$(BIN)/python -m bench.front

# Stop everything else first. The first run installs and converts for an hour; `python -m bench.toolchains --help` does parts.
toolchains: $(STAMP)  ## our artifacts beside other toolchains', into docs/benchmarks
	$(BIN)/python -m bench.toolchains

# Some hours; `python -m bench.zoo NAME` does one network. Packages go to build/zoo.
zoo: $(STAMP)  ## public networks on every target beside the usual way, into docs/networks.md
	$(BIN)/python -m bench.zoo

native: $(STAMP)  ## the runner for phones and what it needs there, in build/native
	$(BIN)/python -m onenet.runtimes.devices.native.build build/native

# android_demo/README.md says what it needs of the system. Downloads, 190 MB, are kept in build/android.
android: $(STAMP)  ## the Android demo without the Android SDK: its tests, and an APK that is checked
	$(BIN)/python android_demo/tools

lint: $(STAMP)
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .

# mypy does not follow an editable install's import hook: show it the packages in their import layout.
types: $(STAMP)
	rm -rf build/types && mkdir -p build/types/onenet
	ln -s $(CURDIR)/onenet/* build/types/onenet/
	ln -s $(CURDIR)/calibration $(CURDIR)/runtimes build/types/onenet/
	ln -s $(CURDIR)/export build/types/onenet/exporters
	cd build/types && $(CURDIR)/$(BIN)/mypy --config-file $(CURDIR)/pyproject.toml -p onenet

wheel: $(STAMP)  ## the package, alone in dist
	rm -rf dist
	$(BIN)/python -m build --wheel --outdir dist > /dev/null

# pip's time stamp is the stamp file: a second `make` finds it newer than pyproject.toml and installs nothing.
# torch comes first and pinned, so that no later requirement can pull another build of it.
$(STAMP): pyproject.toml
	test -x $(BIN)/python || $(PYTHON) -m venv $(VENV)
	$(BIN)/python -m pip install --quiet torch==2.13.0
	$(BIN)/python -m pip install --quiet --editable ".[dev]"
	touch $(STAMP)

clean:
	rm -rf $(VENV) build dist *.egg-info
