"""`python onnx2tf_converter.py model.onnx model.tflite [INPUT ...]`: ONNX -> float32 .tflite, in onnx2tf's environment.

Imports nothing of msnoah. The inputs that are named keep the order of their axes. onnx2tf's own command would also
write a SavedModel and float16 weights, which nobody reads here.
"""

import sys


def main(source, target, *kept):
    """Writes the target, whose signature has the names of the graph's inputs and outputs."""
    import onnx2tf
    import tensorflow

    model = onnx2tf.convert(
        input_onnx_file_path=source, output_folder_path="onnx2tf", disable_model_save=True,
        keep_ncw_or_nchw_or_ncdhw_input_names=list(kept) or None,
        replace_to_pseudo_operators=["erf"],   # in small letters; LiteRT has none, which exact GELU needs
        non_verbose=True, verbosity="error")
    converter = tensorflow.lite.TFLiteConverter.from_keras_model(model)
    sets = tensorflow.lite.OpsSet   # LiteRT says at loading which operators of TensorFlow it has been left with
    converter.target_spec.supported_ops = [sets.TFLITE_BUILTINS, sets.SELECT_TF_OPS]
    try:
        content = converter.convert()
    except Exception as error:   # its reason is spread over many lines
        words = " ".join(str(error).split())
        told = words if len(words) < 250 else words[:120] + " ... " + words[-120:]
        sys.exit("TensorFlow Lite's converter: " + told)
    with open(target, "wb") as file:
        file.write(content)


if __name__ == "__main__":
    main(*sys.argv[1:])
