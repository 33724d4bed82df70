"""Attention in one primitive: the CPU has no kernel, so every handler against its formula."""

import numpy as np
import pytest
from mindspore import nn, ops
from primitive_case import Case, case, check_case
from primitive_cells import normal

HALF = 2e-3
"""Tolerance: the primitives take nothing wider than float16."""


class Attention(nn.Cell):
    """An attention function with settings, and a mask at the end of the inputs."""

    def __init__(self, function, settings):
        super().__init__()
        self.function, self.settings = function, settings

    def construct(self, query, key, value, mask):
        return self.function(query, key, value, attn_mask=mask, **self.settings)


class Unmasked(Attention):
    def construct(self, query, key, value):
        return self.function(query, key, value, **self.settings)


class Shifted(Attention):
    """With something added to the scores."""

    def construct(self, query, key, value, shift):
        return self.function(query, key, value, real_shift=shift, **self.settings)


class Incremental(Attention):
    def construct(self, query, key, value):
        return ops.incre_flash_attention(query, [key], [value], **self.settings)


def half(*shape: int) -> np.ndarray:
    return normal(*shape).astype(np.float16)


def attend(query, key, value, mask=False, shift=0.0, scale=0.5):
    """(B, N, S, D), with some heads of queries for each of keys; in float32."""
    times = query.shape[1] // key.shape[1]
    query, key, value = (x.astype(np.float32) for x in (query, key.repeat(times, 1), value.repeat(times, 1)))
    scores = np.where(mask, -np.inf, scale * query @ key.swapaxes(2, 3) + shift)
    weights = np.exp(scores - scores.max(-1, keepdims=True))
    return (weights / weights.sum(-1, keepdims=True) @ value).astype(np.float16)


def attend_in(layout: str, heads: int):
    """The same in a layout with heads: BSND, BSH or SBH."""
    def compute(query, key, value):
        order = (1, 2, 0, 3) if layout == "SBH" else (0, 2, 1, 3)
        size = query.shape[-1] // (1 if layout == "BSND" else heads)
        query, key, value = (x.reshape(*x.shape[:2], -1, size).transpose(order) for x in (query, key, value))
        y = attend(query, key, value).transpose(np.argsort(order))
        return y if layout == "BSND" else y.reshape(*y.shape[:2], -1)
    return compute


def rotate(x, cos, sin):
    first, second = np.split(x, 2, -1)
    return x * cos + np.concatenate([-second, first], -1) * sin


def rotate_neighbours(x, cos, sin):
    turned = np.stack([-x[..., 1::2], x[..., ::2]], -1).reshape(x.shape)
    return x * cos + turned * sin


def settings(layout: str, **more):
    return {"scale_value": 0.5, "input_layout": layout, "num_heads": 4, **more}


def flash_settings(layout: str, **more):
    return {"scalar_value": 0.5, "input_layout": layout, "head_num": 4, **more}


bnsd = half(2, 4, 6, 16), half(2, 4, 6, 16), half(2, 4, 6, 16)
grouped = half(2, 4, 6, 16), half(2, 2, 6, 16), half(2, 2, 6, 16)
mask = np.triu(np.ones((6, 6), bool), 2)
rotary = normal(2, 4, 6, 8), normal(1, 1, 6, 8), normal(1, 1, 6, 8)


def flash(layout: str, *inputs, cell=Unmasked, reference=attend, **more) -> Case:
    return case("FlashAttentionScore", ops.flash_attention_score, *inputs, cell=cell, reference=reference,
                constants=flash_settings(layout, **more), tolerance=HALF)


CASES = [
    flash("BNSD", *bnsd),
    flash("BNSD", *grouped),
    flash("BNSD", *bnsd, mask, cell=Attention),
    flash("BNSD", *bnsd, mask[None, None].repeat(2, 0).astype(np.uint8), cell=Attention),
    flash("BNSD", *bnsd, half(1, 4, 6, 6), cell=Shifted,
          reference=lambda query, key, value, shift: attend(query, key, value, shift=shift.astype(np.float32))),
    flash("BSND", *[half(2, 6, 4, 16) for _ in range(3)], reference=attend_in("BSND", 4)),
    flash("BSH", *[half(2, 6, 64) for _ in range(3)], reference=attend_in("BSH", 4)),
    flash("BSH", half(2, 6, 64), half(2, 5, 32), half(2, 5, 32), reference=attend_in("BSH", 4)),
    flash("SBH", *[half(6, 2, 64) for _ in range(3)], reference=attend_in("SBH", 4)),
    *[
        flash("BNSD", *bnsd[:1], *[half(2, 4, 8, 16) for _ in range(2)], sparse_mode=mode,
              reference=lambda *x, mode=mode: attend(*x, np.triu(np.ones((6, 8), bool), 1 if mode == 2 else 3)))
        for mode in (2, 3)
    ],
    *[
        case("PromptFlashAttention", ops.prompt_flash_attention, *inputs, cell=Unmasked, reference=reference,
             constants=settings(layout, **more), tolerance=HALF)
        for layout, inputs, reference, more in (
            ("BNSD", bnsd, attend, {}),
            ("BNSD", grouped, attend, {"num_key_value_heads": 2}),
            ("BSH", [half(2, 6, 64) for _ in range(3)], attend_in("BSH", 4), {}),
        )
    ],
    case("PromptFlashAttention", ops.prompt_flash_attention, *bnsd, mask[None], cell=Attention,
         reference=attend, constants=settings("BNSD"), tolerance=HALF),
    case("IncreFlashAttention", ops.incre_flash_attention, half(2, 4, 1, 16), *bnsd[1:], cell=Incremental,
         reference=attend, constants=settings("BNSD"), tolerance=HALF),
    case("RotaryPositionEmbedding", ops.rotary_position_embedding, *rotary, reference=rotate),
    case(
        "RotaryPositionEmbedding", ops.rotary_position_embedding, *rotary, constants=(1,), reference=rotate_neighbours
    ),
]


@pytest.mark.parametrize("case_", CASES, ids=str)
def test_primitive(case_: Case, tmp_path):
    check_case(case_, tmp_path)
