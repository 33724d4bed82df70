"""Mixed precision by level, through MindSpore's own lists of what float16 is safe for."""

from mindspore import amp, nn


def mixed_precision(model: nn.Cell, level: str) -> nn.Cell:
    """The model computing partly in float16: O0 nothing, O1 matrix products, O2 all but norms, O3 everything.

    Weights and logits stay float32; the model keeps its Parameters and their names.
    """
    return model if level == "O0" else amp.auto_mixed_precision(model, level)
