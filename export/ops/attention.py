"""Attention that MindIR holds as one primitive, and rotary positions."""

import math

import numpy as np

from msnoah.errors import ConversionError
from msnoah.export.ops.arithmetic import cast
from msnoah.export.ops.linear import transpose_last
from msnoah.export.ops.shape import reshape
from msnoah.export.ops.table import Const, handles

LAYOUTS = ("BSH", "BNSD", "SBH", "BSND")
"""Order of batch B, sequence S, heads N and their size D, or both as H, by the number that MindIR carries."""

FULL_MASKS = (0, 1)
LEFT_CAUSAL, RIGHT_CAUSAL = 2, 3
"""What `sparse_mode` says of the mask: as it is, or causal from the first or from the last element on."""


@handles("FlashAttentionScore")
def flash_attention(
    g, query, key, value, real_shift=None, drop_mask=None, padding_mask: Const = None, attn_mask=None,
    prefix: Const = None, actual_seq_qlen: Const = None, actual_seq_kvlen: Const = None, head_num: Const = 1,
    keep_prob: Const = 1.0, scale_value: Const = 1.0, pre_tokens: Const = None, next_tokens: Const = None,
    inner_precise: Const = 0, input_layout: Const = 0, sparse_mode: Const = 0,
):
    """Of its outputs only the last, the result, has an ONNX form."""
    if keep_prob != 1:
        raise ConversionError(f"{g.place}: FlashAttentionScore drops out; pass keep_prob 1 for inference")
    _refuse(g, padding_mask=padding_mask, prefix=prefix, actual_seq_qlen=actual_seq_qlen,
            actual_seq_kvlen=actual_seq_kvlen)
    mask = _mask(g, attn_mask, sparse_mode, query, key, input_layout)
    y = _attend(g, query, key, value, (head_num, 0), scale_value, input_layout, real_shift, mask)
    return None, None, None, y


@handles("PromptFlashAttention")
def prompt_attention(
    g, query, key, value, attn_mask=None, actual_seq_lengths: Const = None, actual_seq_lengths_kv: Const = None,
    pse_shift=None, deq_scale1: Const = None, quant_scale1: Const = None, deq_scale2: Const = None,
    quant_scale2: Const = None, quant_offset2: Const = None, num_heads: Const = 1, scale_value: Const = 1.0,
    pre_tokens: Const = None, next_tokens: Const = None, input_layout: Const = 0, num_key_value_heads: Const = 0,
    sparse_mode: Const = 0, inner_precise: Const = 1,
):
    _refuse(g, actual_seq_lengths=actual_seq_lengths, actual_seq_lengths_kv=actual_seq_lengths_kv,
            deq_scale1=deq_scale1, quant_scale1=quant_scale1, deq_scale2=deq_scale2, quant_scale2=quant_scale2)
    mask = _mask(g, attn_mask, sparse_mode, query, key, input_layout)
    heads = num_heads, num_key_value_heads
    return _attend(g, query, key, value, heads, scale_value, input_layout, pse_shift, mask)


@handles("IncreFlashAttention")
def incremental_attention(
    g, query, key, value, attn_mask=None, actual_seq_lengths: Const = None, pse_shift=None,
    dequant_scale1: Const = None, quant_scale1: Const = None, dequant_scale2: Const = None, quant_scale2: Const = None,
    quant_offset2: Const = None, antiquant_scale: Const = None, antiquant_offset: Const = None,
    block_table: Const = None, kv_padding_size: Const = None, num_heads: Const = 1, input_layout: Const = 0,
    scale_value: Const = 1.0, num_key_value_heads: Const = 0, block_size: Const = 0, inner_precise: Const = 1,
):
    """One new query for each sequence. Keys and values come as lists of one tensor."""
    _refuse(g, actual_seq_lengths=actual_seq_lengths, dequant_scale1=dequant_scale1, quant_scale1=quant_scale1,
            antiquant_scale=antiquant_scale, block_table=block_table, kv_padding_size=kv_padding_size)
    key, value = (operand[0] if isinstance(operand, tuple) else operand for operand in (key, value))
    heads = num_heads, num_key_value_heads
    return _attend(g, query, key, value, heads, scale_value, input_layout, pse_shift, attn_mask)


def _refuse(g, **arguments) -> None:
    given = [name for name, argument in arguments.items() if argument is not None]
    if given:
        raise ConversionError(f"{g.place}: attention with {', '.join(given)} has no ONNX form here; leave it out")


def _mask(g, mask, sparse_mode: int, query, key, layout: int):
    """True where a query does not look at a key; None where all do."""
    if sparse_mode in FULL_MASKS:
        return mask
    if sparse_mode not in (LEFT_CAUSAL, RIGHT_CAUSAL):
        raise ConversionError(f"{g.place}: attention with sparse_mode {sparse_mode}; use 0 to 3")
    axis = LAYOUTS[layout].index("S")
    rows, columns = query.shape[axis], key.shape[axis]
    return np.triu(np.ones((rows, columns), bool), 1 + (columns - rows if sparse_mode == RIGHT_CAUSAL else 0))


def _attend(g, query, key, value, heads: tuple[int, int], scale: float, layout: int, shift, mask):
    """softmax(scale query key^T + shift, but masked) value"""
    if layout >= len(LAYOUTS):
        raise ConversionError(f"{g.place}: attention over packed sequences; use layout {', '.join(LAYOUTS)}")
    count, key_count = heads[0], heads[1] or _key_heads(query, key, heads[0], layout)
    query = _split_heads(g, query, count, layout)
    key, value = (_repeat(g, _split_heads(g, x, key_count, layout), count // key_count) for x in (key, value))
    scores = g.op("MatMul", g.op("Mul", query, g.like(scale, query)), transpose_last(g, key))
    scores = scores if shift is None else g.op("Add", scores, shift)
    if mask is not None:
        lowest = np.array(np.finfo(scores.dtype).min, scores.dtype)
        scores = g.op("Where", cast(g, mask, np.dtype(bool)), lowest, scores)
    y = g.op("MatMul", g.op("Softmax", scores, axis=-1), value)   # (B, N, S, D)
    return _join_heads(g, y, layout)


def _key_heads(query, key, count: int, layout: int) -> int:
    name = LAYOUTS[layout]
    if "N" in name:
        return key.shape[name.index("N")]
    return count * key.shape[-1] // query.shape[-1]


def _split_heads(g, x, count: int, layout: int):
    """-> (B, N, S, D)"""
    if LAYOUTS[layout] == "BNSD":
        return x
    if "H" in LAYOUTS[layout]:
        x = reshape(g, x, (*x.shape[:2], count, -1))
    return g.op("Transpose", x, perm=[1, 2, 0, 3] if LAYOUTS[layout] == "SBH" else [0, 2, 1, 3])


def _repeat(g, x, times: int):
    """Each head of keys or values serves so many heads of queries that follow each other."""
    return x if times == 1 else g.op("Gather", x, np.repeat(np.arange(x.shape[1]), times), axis=1)


def _join_heads(g, y, layout: int):
    """(B, N, S, D) -> the layout"""
    if LAYOUTS[layout] == "BNSD":
        return y
    y = g.op("Transpose", y, perm=[2, 0, 1, 3] if LAYOUTS[layout] == "SBH" else [0, 2, 1, 3])
    return reshape(g, y, (*y.shape[:2], math.prod(y.shape[2:]))) if "H" in LAYOUTS[layout] else y


@handles("RotaryPositionEmbedding")
def rotate(g, x, cos, sin, mode: Const = 0):
    """x cos + turned(x) sin, where each pair (a, b) turns into (-b, a): halves (mode 0) or neighbours (mode 1)."""
    size = x.shape[-1]
    order = np.arange(size)
    partner = (order + size // 2) % size if mode == 0 else order ^ 1
    signs = np.where(partner > order, -1, 1)
    turned = g.op("Mul", g.op("Gather", x, partner, axis=len(x.shape) - 1), signs.astype(x.dtype))
    return g.op("Add", g.op("Mul", x, cos), g.op("Mul", turned, sin))
