"""How commands that measure latency come by their settings: the run's own, and options in their place."""

from typing import Any

from msnoah.errors import MsnoahError


def profile_settings(run, overrides: dict[str, Any]):
    """The ProfileConfig of a RunFolder, or the defaults if `run` is None, with other values for some fields.

    Raises:
        RuntimeUnavailableError: an unknown runtime.
        MsnoahError: a value out of range.
    """
    from pydantic import ValidationError

    from msnoah.config import ProfileConfig
    from msnoah.deploy.runtimes.table import find_runtime

    for name in overrides.get("runtimes", ()):
        find_runtime(name)
    base = run.config().profile.model_dump() if run else {}
    try:
        return ProfileConfig(**{**base, **overrides})
    except ValidationError as error:
        fault = error.errors()[0]
        where = ".".join(map(str, fault["loc"]))
        raise MsnoahError(f"{where}: {fault['msg']}, found {fault['input']!r}") from None
