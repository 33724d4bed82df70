"""What msnoah offers in place of what an NPU does not run."""

from typing import Literal

Rewrite = Literal["fuse_norms", "matrix_merging", "static_shapes", "frames_as_channels", "logits", "float16", "opset"]

REWRITES: dict[Rewrite, str] = {
    "fuse_norms": "train with PRepBN (the slab_ models): its norms fuse into the products, none is left in the graph",
    "matrix_merging": "if tokens are merged: `msnoah export RUN --token-merging matrix` neither sorts nor gathers",
    "static_shapes": "fix the sizes: export at the sizes that will run, give the batch to the converter",
    "frames_as_channels": "clips: `msnoah export RUN --frames-as-channels` takes them as images, without a fifth axis",
    "logits": "segmentation: `msnoah export RUN --logits` leaves out the label map and its control flow",
    "float16": "`msnoah convert model.mindir --float16 all` computes in float16",
    "opset": "`msnoah export RUN --opset 17` writes operator set 17",
}

_BY_OPERATOR: dict[str, Rewrite] = {
    "LayerNormalization": "fuse_norms",
    **dict.fromkeys(("TopK", "GatherND", "GatherElements", "ScatterElements", "ScatterND", "Gather"), "matrix_merging"),
    **dict.fromkeys(("If", "Loop", "Scan"), "logits"),
    **dict.fromkeys(("Shape", "Size", "Range", "NonZero", "ConstantOfShape", "Expand"), "static_shapes"),
}


def suggest_rewrite(operator: str, stated: Rewrite | None) -> str | None:
    """The text of the rewrite that a rule states, else of the one that helps with the operator; None if none does."""
    key = stated or _BY_OPERATOR.get(operator)
    return REWRITES[key] if key else None
