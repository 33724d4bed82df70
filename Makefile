# Three commands set everything up on a machine with make and Python 3.10-3.12: `make demo`, `make demo-video`, `make test`.
VENV ?= .venv
RUN ?= runs/$@
CANDIDATES = python3.12 python3.11 python3.10 python3
PYTHON ?= $(firstword $(foreach p,$(CANDIDATES),$(shell $(p) -c 'import sys, ensurepip; sys.exit(not (3, 10) <= sys.version_info < (3, 13))' >/dev/null 2>&1 && echo $(p))))
MSNOAH = $(VENV)/bin/msnoah

.PHONY: demo demo-video test clean

demo: CONFIG = configs/digits_slab_deit.yaml
demo-video: CONFIG = configs/squeezetime/camera_motion.yaml
demo demo-video: $(VENV)/.installed-demo
	rm -rf $(RUN)
	$(MSNOAH) train $(CONFIG) --run $(RUN)
	$(MSNOAH) eval $(RUN)
	$(MSNOAH) export $(RUN)
	$(MSNOAH) profile $(RUN)
	$(MSNOAH) report $(RUN)

test: $(VENV)/.installed-test
	$(VENV)/bin/python -m pytest -n 2 --dist loadfile --durations=15

$(VENV)/.installed-%: setup.cfg pyproject.toml | $(VENV)/bin/python
	$(VENV)/bin/python -m pip install --quiet --editable '.[$*]'
	touch $@

$(VENV)/bin/python:
	@test -n "$(PYTHON)" || { echo "make: no Python 3.10-3.12 with ensurepip found (tried $(CANDIDATES)); set PYTHON=/path/to/python" >&2; exit 2; }
	$(PYTHON) -m venv $(VENV)

clean:
	rm -rf $(VENV) build dist *.egg-info
