"""Boxes and regions: every handler against MindSpore."""

import numpy as np
import pytest
from mindspore import ops
from primitive_case import Case, case, check_case
from primitive_cells import normal

anchors = np.array([[0, 0, 10, 10], [5, 5, 15, 12], [20, 20, 25, 30]], np.float32)
truths = np.array([[0, 0, 10, 10], [6, 4, 12, 18]], np.float32)
shifts, scales = (0.1, 0.0, 0.0, 0.2), (1.0, 1.0, 2.0, 2.0)
scored = np.array(
    [[0, 0, 10, 10, 0.9], [1, 1, 10, 10, 0.8], [20, 20, 30, 30, 0.95], [21, 21, 29, 29, 0.1], [5, 5, 15, 15, 0.5]],
    np.float32,
)
crops = np.array([[0.1, 0.1, 0.8, 0.9], [0, 0, 1, 1], [0.9, 0.8, 0.2, -0.3]], np.float32)
regions = np.array([[0, 1, 1, 5, 6], [1, 0, 0, 3, 2], [0, -1, 2, 9, 9], [1, 3, 4, 3.5, 4], [0, 5, 6, 2, 3]], np.float32)
pixels = np.arange(2 * 8 * 7, dtype=np.uint8).reshape(2, 8, 7, 1)
many = np.concatenate([np.abs(normal(20, 2)) * 5, 8 + np.abs(normal(20, 2)) * 5, normal(20, 1)], 1)



CASES = [
    *[case("IOU", ops.iou, anchors, truths, constants=(mode,)) for mode in ("iou", "iof")],
    case("BoundingBoxEncode", ops.BoundingBoxEncode(shifts, scales), anchors, anchors * 1.1 + 0.5),
    *[
        case("BoundingBoxDecode", ops.BoundingBoxDecode((30, 20), shifts, scales, clip), anchors, normal(3, 4))
        for clip in (0.016, 0.8)
    ],
    *[
        case("CheckValid", ops.check_valid, anchors, np.array(image, np.float32))
        for image in ([20, 30, 1], [31, 26, 1], [31, 25.9, 1], [16, 13, 2], [13, 16, 1])
    ],
    *[case("NMSWithMask", ops.NMSWithMask(threshold), scored) for threshold in (0.1, 0.5, 0.805, 0.815)],
    case("NMSWithMask", ops.NMSWithMask(0.4), many),
    *[
        case("ROIAlign", ops.ROIAlign(2, 3, scale, samples, mode), normal(2, 3, 8, 7), regions)
        for scale, samples, mode in ((0.5, 2, 0), (0.5, 2, 1), (1.0, 3, 0), (1.0, 1, 1), (0.3, 2, 1))
    ],
    *[
        case(
            "CropAndResize", ops.CropAndResize(method, 0.5), source, crops, np.array([0, 1, 0], np.int32),
            constants=(size,),
        )
        for source in (normal(2, 8, 7, 3), pixels)
        for method in ("bilinear", "nearest")
        for size in ((4, 3), (1, 5))
    ],
]


@pytest.mark.parametrize("case_", CASES, ids=str)
def test_primitive(case_: Case, tmp_path):
    check_case(case_, tmp_path)
