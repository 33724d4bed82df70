# Each sets everything up on a machine with make and Python 3.10-3.12: `make demo`, `make demo-video`, `make demo-tocom`, `make test`.
VENV ?= .venv
RUN ?= runs/$@
CANDIDATES = python3.12 python3.11 python3.10 python3
PYTHON ?= $(firstword $(foreach p,$(CANDIDATES),$(shell $(p) -c 'import sys, ensurepip; sys.exit(not (3, 10) <= sys.version_info < (3, 13))' >/dev/null 2>&1 && echo $(p))))
MSNOAH = $(VENV)/bin/msnoah

.PHONY: demo demo-video demo-tocom test clean

demo: CONFIG = configs/digits_slab_deit.yaml
demo-video: CONFIG = configs/squeezetime/camera_motion.yaml
demo demo-video: $(VENV)/.installed-demo
	rm -rf $(RUN)
	$(MSNOAH) train $(CONFIG) --run $(RUN)
	$(MSNOAH) eval $(RUN)
	$(MSNOAH) export $(RUN)
	$(MSNOAH) profile $(RUN)
	$(MSNOAH) report $(RUN)

# A body, ToCom's plugin for it, a model fine-tuned from it that merges 12 tokens a block, and both at other degrees.
demo-tocom: $(VENV)/.installed-demo
	rm -rf $(RUN)
	$(MSNOAH) train configs/tocom/fashion_body.yaml --run $(RUN)/body
	$(MSNOAH) train configs/tocom/fashion_plugin.yaml --run $(RUN)/plugin --set model.checkpoint=$(RUN)/body/best.ckpt
	$(MSNOAH) train configs/tocom/fashion_r12.yaml --run $(RUN)/r12 --set model.checkpoint=$(RUN)/body/best.ckpt
	$(MSNOAH) degrees $(RUN)/body $(RUN)/r12 --plugin $(RUN)/plugin --tokens-merged 0,6,12 --tocom-scale 0.05,0.1,0.15 --limit 4000
	$(MSNOAH) report $(RUN)/plugin

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
