"""A possible reason why an artifact that merges tokens differs from its model in some samples and not in others.

Which tokens are merged is decided by comparing similarities. Where two are equal but for rounding, artifact and model
may decide differently, and from there on they compute with other tokens: that sample is far off, the others agree.
"""

import numpy as np

from msnoah.export.verification import Arrays, Predict

FAR = 10
"""Times the tolerance: what rounding without another decision does not reach."""


def find_flipped(reference: Predict, predict: Predict, inputs: Arrays, tolerance: float) -> str | None:
    """A remark on the samples that are far off, if they are few: at most half, while the others agree; else None."""
    expected, found = reference(inputs)[0].astype(np.float64), predict(inputs)[0].astype(np.float64)
    if expected.shape != found.shape or not (np.isfinite(expected).all() and np.isfinite(found).all()):
        return None
    size = max(np.abs(expected).max(), np.finfo(np.float64).tiny)
    rows = np.abs(found - expected).reshape(len(expected), -1).max(1) / size
    apart, far = int((rows > tolerance).sum()), int((rows > FAR * tolerance).sum())
    if not far or apart > len(rows) / 2:
        return None
    return (f"{apart} of {len(rows)} samples differ: a near-tie in the matching of tokens, decided the other way by "
            "rounding, is a possible reason")
