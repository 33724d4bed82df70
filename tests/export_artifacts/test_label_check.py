"""A label map is held to what the model prefers at each pixel, in the unit of its logits."""

import numpy as np
import pytest

from msnoah.export.label_check import verify_labels

LOGITS = np.array([[[[0.0, 1.0], [0.0, 1.0]], [[1.0, 0.0], [1.0, 1e-7]]]], np.float32)   # (1, 2, 2, 2)
RIGHT = np.array([[[1, 1, 0, 0]] * 4], np.uint8)   # at twice the size
CASES = {   # labels, what the model prefers at most
    "its own": (RIGHT, 0),
    "a wrong column": (np.array([[[0, 1, 0, 0]] * 4], np.uint8), 1.0),
    "no class": (RIGHT + 2, np.inf),
}


@pytest.mark.parametrize("labels, preferred", CASES.values(), ids=CASES)
def test_preference(labels, preferred):
    check, = verify_labels(lambda _: [LOGITS], lambda _: [labels], [[None]], artifact="onnx", output="labels", tolerance=1e-5)
    assert check.max_abs == pytest.approx(preferred)
    assert check.passed == (preferred == 0)
