"""Converts an ONNX file by rknn-toolkit2, in the Python that has it: it needs neither msnoah nor another package.

python rknn_script.py PLATFORM MODEL.onnx RESULT.rknn NAME:1,3,224,224 ...

Without quantisation: the NPU then computes in float16.
"""

import sys


def convert(platform, onnx, result, shapes):
    """Runs the four steps of the toolkit; `shapes` are texts like "image:1,3,224,224". Exits 1 at a step that fails."""
    from rknn.api import RKNN

    pairs = [text.rpartition(":") for text in shapes]
    sizes = [[int(size) for size in sizes.split(",")] for _, _, sizes in pairs]
    rknn = RKNN()
    steps = (
        ("config", lambda: rknn.config(target_platform=platform)),
        ("load_onnx", lambda: rknn.load_onnx(onnx, inputs=[name for name, _, _ in pairs], input_size_list=sizes)),
        ("build", lambda: rknn.build(do_quantization=False)),
        ("export_rknn", lambda: rknn.export_rknn(result)),
    )
    for name, step in steps:
        code = step()
        if code:
            sys.exit("rknn_script: %s failed with code %s" % (name, code))
    rknn.release()


if __name__ == "__main__":
    convert(sys.argv[1], sys.argv[2], sys.argv[3], sys.argv[4:])
