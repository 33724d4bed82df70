"""A family of linear classifiers of 8x8 digits, as `msnoah export --family` writes one, without MindSpore."""

import onnx
from clip_artifact import write_artifact
from onnx import numpy_helper

from msnoah.export.onnx_file import WeightsFile
from msnoah.file_hash import hash_file
from msnoah.run_folder import write_json

GREY = {"image_size": 8, "mean": [0.5], "std": [0.5], "interpolation": "bicubic", "crop_fraction": 0.875}
DIGITS = [str(digit) for digit in range(10)]
DEGREES = {0: [65, 65], 2: [63, 61], 4: [61, 57]}   # tokens left after each block


def write_family(run, unverified=()):
    """Members r0 and r2 have the same weights; r4 takes each digit for the next one."""
    run.family_path.mkdir()
    with open(run.family_path / "weights.bin", "wb") as file:
        weights = WeightsFile(file, "weights.bin")
        members = [_write_member(run.family_path / f"r{degree}.onnx", degree, weights) for degree in DEGREES]
    for member in members:
        member["verification"]["passed"] = member["tokens_merged"] not in unverified
    described = {"file": "weights.bin", "sha256": hash_file(run.family_path / "weights.bin")}
    write_json(run.family_record_path, {"weights": described, "members": members})


def _write_member(path, degree, weights):
    model = onnx.load(write_artifact(path, GREY, DIGITS, shape=[1, 8, 8]))
    model.doc_string = path.stem
    if degree == 4:
        [weight] = model.graph.initializer
        shifted = numpy_helper.to_array(weight)[:, [9, *range(9)]]
        weight.CopyFrom(numpy_helper.from_array(shifted.copy(), weight.name))
    with open(path, "wb") as file:
        weights.write_model(model, file)
    check = {"artifact": "onnx", "batch": 1, "output": "y", "max_abs": 1e-6, "max_rel": 2e-7, "passed": True}
    return {"tokens_merged": degree, "file": path.name, "sha256": hash_file(path), "tokens": DEGREES[degree],
            "macs": 640, "verification": {"passed": True, "checks": [check]}}
