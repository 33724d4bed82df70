"""The side environments by name."""

from pathlib import Path

from msnoah.deploy.environments.environment import Environment

HERE = Path(__file__).parent

MINDSPORE_LITE = Environment(
    name="mindspore-lite", module="mindspore_lite", pythons=("3.7",), size_mb=560,
    purpose="MindSpore Lite's wheels are for Python 3.7 alone", requirements_file=HERE / "mindspore_lite.txt")
ONNX2TF = Environment(
    name="onnx2tf", module="onnx2tf", pythons=(), size_mb=1600,
    purpose="it makes .tflite of ONNX for LiteRT, with TensorFlow; .tflite files run without it",
    requirements_file=HERE / "onnx2tf.txt")

ENVIRONMENTS = {environment.name: environment for environment in (MINDSPORE_LITE, ONNX2TF)}
