"""scikit-learn's 1,797 handwritten digits, 8 x 8, 16 grey levels (Alpaydin and Kaynak, 1998): real data that pip brings."""

import numpy as np

from msnoah.config import DataConfig
from msnoah.data.array_source import ArraySource
from msnoah.errors import DataError

_VAL_EVERY = 5


def open_digits(data: DataConfig, split: str) -> ArraySource:
    """The digits' split: each class's every fifth image, in the data set's order, is for validation.

    Raises:
        DataError: scikit-learn is not installed.
    """
    images, labels = _load()
    chosen = _is_val(labels) == (split == "val")
    return ArraySource(f"digits {split}", images[chosen], labels[chosen], [str(d) for d in range(10)], data.channels)


def _load() -> tuple[np.ndarray, np.ndarray]:
    try:
        from sklearn.datasets import load_digits
    except ImportError as error:
        raise DataError("data.source digits comes with scikit-learn, which is not here: pip install msnoah[demo]") from error
    digits = load_digits()
    return np.rint(digits.images * (255 / 16)).astype(np.uint8), digits.target.astype(np.int32)


def _is_val(labels: np.ndarray) -> np.ndarray:
    is_val = np.zeros(len(labels), bool)
    for label in np.unique(labels):
        is_val[np.flatnonzero(labels == label)[_VAL_EVERY - 1::_VAL_EVERY]] = True
    return is_val
