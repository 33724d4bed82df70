"""Going on with a sweep: what was measured before, with the same artifact and settings, is not measured again."""

from collections.abc import Sequence
from pathlib import Path

from msnoah.config import ProfileConfig
from msnoah.deploy.profile import Profile, load_profile
from msnoah.deploy.rows import Row


def take_finished(rows: Sequence[Row], paths: Sequence[Path], settings: ProfileConfig) -> None:
    """Sets `finished` in each row that one of the profiles is of.

    A device is known by its name alone: that another board got this name is not seen.

    Raises:
        ProfileError: a profile that cannot be read.
    """
    profiles = [profile for profile in map(load_profile, paths) if _is_whole(profile, settings)]
    for row in rows:
        row.finished = next((profile for profile in profiles if _is_of(profile, row)), None)


def _is_whole(profile: Profile, settings: ProfileConfig) -> bool:
    """Whether it was measured to its end, at least as well as these settings ask for."""
    goal = settings.interval if settings.time_limit_s else None
    same = (profile.batch_size, profile.warmup, profile.interval_goal) == (settings.batch_size, settings.warmup, goal)
    return same and profile.cut_short is None and profile.repeats >= settings.repeats


def _is_of(profile: Profile, row: Row) -> bool:
    if row.artifact is None:
        return False
    measured = profile.device_name, profile.runtime, profile.threads, profile.sha256
    return measured == (row.device_name, row.runtime, row.threads, row.artifact.sha256)
