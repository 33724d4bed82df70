"""What the authors' implementation of ToMe and ToCom computes with DeiT-Ti, and which weights their files hold.

The numbers were made in float32 by the original PyTorch functions at width 192, weights filled by `deit_value`. Of
each run: logits (2, 1000), the class token after every block (12, 2, 192), and where tokens were merged, the count of
tokens after every block, the decisions of every block, final sizes, and which tokens went into which.
`tocom_contracts.json.gz` lists the weights, and the seed of each run's images; no weight itself is stored.
"""

import gzip
import json
import zlib
from pathlib import Path

import mindspore as ms
import numpy as np

FOLDER = Path(__file__).parent
_RECORD = json.loads(gzip.decompress((FOLDER / "tocom_contracts.json.gz").read_bytes()))
CONTRACTS = {form: {name: tuple(shape) for name, shape in _RECORD[form]} for form in ("plain", "tocom")}
"""Published names and shapes, of DeiT-Ti alone and with the plugin."""
MODELS = np.load(FOLDER / "tocom_models.npz")
PLAIN = {"r0": 0, "r8": 8, "r16": 16}
"""Runs of plain ToMe and the tokens that every block merges."""
COMPENSATED = {"src16_tgt0_scale0.1": (16, 0, 0.1), "src8_tgt16_scale0.0": (8, 16, 0.0),
               "src8_tgt16_scale0.1": (8, 16, 0.1)}
"""Runs of ToCom: source degree, tokens merged, scale."""
TOKENS = 197


def golden_images(run: str) -> ms.Tensor:
    """The two images of a run, whose decisions are no near-ties: (2, 3, 224, 224)"""
    rng = np.random.default_rng(zlib.crc32(_RECORD["runs"][run]["input"].encode()))
    return ms.Tensor(rng.standard_normal((2, 3, 224, 224)).astype(np.float32))


def golden_decisions(run: str, block: int) -> dict[str, np.ndarray] | None:
    """The decisions of a block as places in the sequence, None if it merges nothing.

    `merged` (2, r), the most similar pair first, `into` (2, r) what each goes to, `kept` of the even places (2, ...).
    """
    key = f"{run}/layer{block}"
    if f"{key}/src_idx" not in MODELS.files:
        return None
    merged, into, kept = (MODELS[f"{key}/{name}_idx"].astype(int) for name in ("src", "dst", "unm"))
    return {"merged": 2 * merged, "into": 2 * into + 1, "kept": 2 * kept}


def golden_membership(run: str) -> np.ndarray:
    """Which of the tokens at the start are in which at the end: 0 or 1, (2, N, TOKENS)"""
    return np.unpackbits(MODELS[f"{run}/source_final"], axis=-1, count=TOKENS)
