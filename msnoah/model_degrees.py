"""A run's model at another number of merged tokens than it was trained with."""

from typing import Any

from msnoah.config import RunConfig, Tokens
from msnoah.errors import ConfigError


def arguments_at(
    config: RunConfig, tokens_merged: Tokens | None, *, plugin: bool = False, source_degree: Tokens | None = None,
    tocom_scale: float | None = None,
) -> dict[str, Any]:
    """Keyword arguments of a run's model that merges other numbers of tokens.

    Args:
        config: the run's.
        tokens_merged: by each block, or by every block; None as it was trained.
        plugin: build it with ToCom's plugin; a model that was trained with one has it anyway.
        source_degree: what the plugin takes the model to have been trained with; None as it was.
        tocom_scale: how much of the plugin is added; None as it was, or the model's default.

    Raises:
        ConfigError: a source_degree or tocom_scale without a plugin that it could be for.
    """
    arguments = config.model_arguments()
    has_plugin = plugin or config.model.has_plugin
    for key, value in (("source_degree", source_degree), ("tocom_scale", tocom_scale)):
        if value is not None and not has_plugin:
            raise ConfigError(f"{key}: {config.model.name} has no ToCom plugin that it could be for; name one by plugin")
    trained = arguments.get("source_degree", arguments.get("tokens_merged", 0))
    changes = {"tokens_merged": tokens_merged, "tocom_scale": tocom_scale}
    if has_plugin:
        changes["source_degree"] = trained if source_degree is None else source_degree
    arguments |= {key: value for key, value in changes.items() if value is not None}
    if isinstance(arguments.get("tokens_merged"), list):
        arguments.pop("merging_schedule", None)
    return arguments
