"""What ONNX has no exact form for is refused, in one line that says where and what would be right."""

import numpy as np
import pytest
from mindspore import ops
from primitive_case import Case, case, export
from primitive_cells import FirstOutput, normal

from msnoah.errors import ConversionError
from msnoah.export.converter import mindir_to_onnx

image = normal(2, 4, 7, 6)
regions = np.array([[0, 1, 1, 5, 6]], np.float32)
attended = [normal(2, 4, 6, 16).astype(np.float16) for _ in range(3)]


class DropsOut(FirstOutput):
    def construct(self, query, key, value, mask):
        return self.function(query, key, value, 4, drop_mask=mask, keep_prob=0.5, input_layout="BNSD")


class Crops(FirstOutput):
    def construct(self, x, boxes, index):
        return self.function(x, boxes, index, (4, 3))


REFUSED = {
    "GridSample of 3 spatial axes needs opset 20": case(
        "GridSampler3D", ops.grid_sample, normal(1, 2, 3, 4, 5), normal(1, 2, 2, 2, 3)),
    "use MaxPoolWithArgmaxV2": case("MaxPoolWithArgmax", ops.MaxPoolWithArgmax(3, 2, "same"), image),
    "a 9 x 9 matrix; up to 8 x 8": case("MatrixInverse", ops.MatrixInverse(), normal(9, 9)),
    "logarithm of the determinant of a 9 x 9 matrix": case("LogMatrixDeterminant", ops.slogdet, normal(9, 9)),
    "give the number of samples": case("ROIAlign", ops.ROIAlign(2, 2, 1.0, 0), image, regions),
    "method bilinear_v2; use bilinear or nearest": case(
        "CropAndResize", ops.CropAndResize("bilinear_v2"), normal(1, 5, 5, 2), regions[:, 1:] / 8,
        np.zeros(1, np.int32), cell=Crops),
    "LSTM of 2 layers": case(
        "LSTM", ops.LSTM(3, 3, 2, False, False, 0.0), normal(2, 1, 3), normal(2, 1, 3), normal(2, 1, 3),
        normal(2 * 12 * 6, 1, 1), cell=FirstOutput),
    "pass keep_prob 1 for inference": case(
        "FlashAttentionScore", ops.flash_attention_score, *attended, np.ones((2, 4, 6, 1), np.uint8), cell=DropsOut),
}


@pytest.mark.parametrize("message", REFUSED)
def test_refusal(message: str, tmp_path):
    row: Case = REFUSED[message]
    export(row, tmp_path / "net.mindir")
    with pytest.raises(ConversionError) as error:
        mindir_to_onnx(tmp_path / "net.mindir")
    assert message in str(error.value) and "\n" not in str(error.value)
