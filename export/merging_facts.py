"""What an artifact says of the tokens that it merges."""

from typing import Any

from msnoah.config import Tokens
from msnoah.export.export_task import ExportTask
from msnoah.file_hash import hash_file
from msnoah.nn.token_merging import merged_count


def describe_merging(task: ExportTask, model, tokens_merged: Tokens | None) -> dict[str, Any] | None:
    """The facts of a model, built by `task.build_model(tokens_merged)`; None where nobody spoke of merging.

    Returns:
        tokens_merged (a number, or one a block), form ("gather" or "matrix") and tokens, after each block as ToMe
        counts them: the graph itself leaves out the last block's merging, which no class token reads. With ToCom's
        plugin also source_degree, tocom_scale and plugin, the file that it came from and its SHA-256; else these are
        None.
    """
    arguments = task.arguments(tokens_merged)
    if not {"tokens_merged", "source_degree"} & set(arguments):
        return None
    facts = {"tokens_merged": arguments.get("tokens_merged", 0), "form": task.settings.token_merging,
             "tokens": count_tokens(model), "source_degree": None, "tocom_scale": None, "plugin": None}
    if arguments.get("source_degree") is None:
        return facts
    path = task.plugin.path if task.plugin else task.checkpoint
    return {**facts, "source_degree": arguments["source_degree"], "tocom_scale": model.tocom_scale,
            "plugin": {"file": str(path), "sha256": hash_file(path)}}


def count_tokens(model) -> list[int]:
    """Tokens that are left after each block of a model that merges, class tokens included."""
    left, counts = model.pos_embed.shape[1], []
    for count in model.tokens_merged:
        left -= merged_count(count, left, model.class_tokens)
        counts.append(left)
    return counts
