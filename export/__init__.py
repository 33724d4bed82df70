"""From a trained Cell to verified artifacts: fusing, MindIR, ONNX."""

if __name__ != "msnoah.export":
    raise ImportError("import 'msnoah.export', not 'export'")
