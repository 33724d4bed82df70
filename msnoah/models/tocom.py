"""DeiT with ToCom's plugin: a model that was trained merging one number of tokens, and merges another one.

Token Compensator: Altering Inference Cost of Vision Transformer without Re-Tuning, Jie et al., ECCV 2024,
https://arxiv.org/abs/2408.06798. The plugin adds low-rank maps to queries and values (`token_compensator`); it is
trained once, on the pre-training data, for all pairs of degrees, and then serves models fine-tuned from the same
weights. Where ours differs: the authors' plugin is for width 768; here any width has one. For a pair of degrees that is
fixed the plugin is merged into the weights, so it costs nothing at inference.
"""

from msnoah.models.deit import BASE, SMALL, TINY, DeiT
from msnoah.registry import register_model

PLUGIN = {"source_degree": 0, "drop_path_rate": 0.1}


@register_model
def deit_tiny_patch16_224_tocom(**kwargs) -> DeiT:
    """DeiT-Ti with ToCom's plugin: 5.7 M parameters and 0.29 M of the plugin."""
    return DeiT(**{**TINY, **PLUGIN, **kwargs})


@register_model
def deit_small_patch16_224_tocom(**kwargs) -> DeiT:
    """DeiT-S with ToCom's plugin: 22.1 M parameters and 0.59 M of the plugin."""
    return DeiT(**{**SMALL, **PLUGIN, **kwargs})


@register_model
def deit_base_patch16_224_tocom(**kwargs) -> DeiT:
    """DeiT-B with ToCom's plugin: 86.6 M parameters and 1.18 M of the plugin."""
    return DeiT(**{**BASE, **PLUGIN, **kwargs})
