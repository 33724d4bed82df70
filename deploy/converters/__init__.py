"""Vendors' converters from ONNX: their commands, where they lie, and what becomes of them. None was tried for real."""
