"""The section of a config that says how int8 and float16 artifacts are made."""

from typing import Annotated, Literal

from pydantic import Field

from msnoah.config_section import Section


class QuantizationConfig(Section):
    """How `msnoah quantize` makes artifacts of model.onnx, and how much accuracy they may lose."""

    method: Literal["minmax", "entropy", "percentile"] = "minmax"   # of finding ranges of what flows through
    percentile: Annotated[float, Field(gt=50, le=100)] = 99.99      # of numbers that a range holds, by that method
    calibration_images: Annotated[int, Field(ge=8)] = 256           # or clips, spread evenly over the train split
    scan_images: Annotated[int, Field(ge=1)] = 64                   # of these, on which single layers are tried
    accuracy_budget: Annotated[float, Field(ge=0, le=1)] = 0.005    # of top-1 or mIoU, as a share, that may be lost
    weight_bits: Literal[7, 8] = 8                                  # 7 for x86 processors without VNNI
