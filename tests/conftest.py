"""Settings of the whole test run: MindSpore's and OpenCV's variables must stand before the first import."""

import gc
import os

import pytest

import msnoah  # noqa: F401  (caps oneDNN at AVX2, which makes convolutions 70 times faster)

os.environ.setdefault("GLOG_v", "3")


@pytest.fixture(scope="module", autouse=True)
def nothing_old_is_searched():
    """MindSpore collects garbage before every compilation, which took 0.27 s among thousands of collected tests: what
    lives when a file begins is left out."""
    gc.collect()
    gc.freeze()


@pytest.fixture
def no_new_handlers():
    """Handlers that a test adds are gone after it."""
    from msnoah.export.ops import HANDLERS

    before = dict(HANDLERS)
    yield
    HANDLERS.clear()
    HANDLERS.update(before)
