"""The section of a config that says which training states are kept."""

from typing import Literal

from msnoah.config_section import Count, Section


class CheckpointConfig(Section):
    """What a run keeps beside best.ckpt: whole states, and a chain of compressed ones (ExCP)."""

    keep_last: Count | Literal["all"] = 2       # newest states, last.ckpt among them: one that is damaged has a stand-in
    compression: Literal["none", "excp"] = "none"
    preset: Literal["near_lossless", "balanced", "extreme"] = "near_lossless"
    key_frame_every: Count = 5                  # files of the chain; one that loses nothing bounds how many a restore reads
    continue_every: Count | None = None         # training goes on from what every n-th compressed state restores to
