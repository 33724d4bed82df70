"""A run's model at another number of merged tokens than it was trained with."""

from typing import Any

from msnoah.config import RunConfig, Tokens
from msnoah.errors import ConfigError
from msnoah.plugin_file import Plugin


def arguments_at(
    config: RunConfig, tokens_merged: Tokens | None, *, plugin: Plugin | None = None,
    source_degree: Tokens | None = None, tocom_scale: float | None = None,
) -> dict[str, Any]:
    """Keyword arguments of a run's model that merges other numbers of tokens.

    Args:
        config: the run's.
        tokens_merged: by each block, or by every block; None as it was trained.
        plugin: build it with this plugin of ToCom; a model that was trained with one has one anyway.
        source_degree: what the plugin takes the model to have been trained with; None as it was.
        tocom_scale: how much of the plugin is added; None as it was, or the model's default.

    Raises:
        ConfigError: a source_degree or tocom_scale without a plugin that it could be for, or a list beside a number
            that a schedule spreads over the blocks.
    """
    arguments = config.model_arguments()
    has_plugin = plugin is not None or config.model.has_plugin
    for key, value in (("source_degree", source_degree), ("tocom_scale", tocom_scale)):
        if value is not None and not has_plugin:
            raise ConfigError(
                f"{key}: {config.model.name} has no ToCom plugin that it could be for; name one by plugin")
    trained = arguments.get("source_degree", arguments.get("tokens_merged", 0))
    changes = {"tokens_merged": tokens_merged, "tocom_scale": tocom_scale, "tocom_units": plugin and plugin.units}
    if has_plugin:
        changes["source_degree"] = trained if source_degree is None else source_degree
    arguments |= {key: value for key, value in changes.items() if value is not None}
    return _without_idle_schedule(arguments)


def _without_idle_schedule(arguments: dict[str, Any]) -> dict[str, Any]:
    """Lists have no schedule; a number beside a list would lose its own."""
    if not isinstance(arguments.get("tokens_merged"), list) or "merging_schedule" not in arguments:
        return arguments
    schedule, source = arguments["merging_schedule"], arguments.get("source_degree")
    if isinstance(source, int) and schedule != "constant":
        raise ConfigError(f"source_degree: {source} is {schedule} over the blocks, but tokens_merged is a list, which has "
                          "no schedule; give source_degree as a list too")
    return {key: value for key, value in arguments.items() if key != "merging_schedule"}
