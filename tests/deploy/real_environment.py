"""A side environment for slow tests: that of the user, or one that is made for the tests and skips them if it cannot."""

import os

import pytest

from msnoah.deploy.environments.installation import make_environment, plan_environment
from msnoah.errors import MsnoahError, RuntimeUnavailableError


def provide(environment, folder):
    """Yields once the environment is there: in $MSNOAH_HOME or the user's folder, else in `folder`."""
    try:
        environment.find()
        yield
        return
    except RuntimeUnavailableError:
        pass
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("MSNOAH_HOME", os.fspath(folder))
        try:
            make_environment(plan_environment(environment))
        except MsnoahError as error:
            pytest.skip(f"no {environment.name}: {error}")
        yield
