"""Side environments that stand ready without a download: a stamp, and a program in the place of their Python."""

import sys
from pathlib import Path

from msnoah.deploy.environments.environment import Environment, Stamp
from msnoah.deploy.environments.installation import pinned_versions


def plant(environment: Environment, modules: dict[str, str], folder: Path) -> None:
    """Puts an environment into $MSNOAH_HOME whose Python is this one, with more modules by name and source.

    Its `-I`, which keeps PYTHONPATH out, is left out, since that is how the modules come in.
    """
    for name, source in modules.items():
        (folder / f"{name}.py").write_text(source, encoding="utf-8")
    script = f'#!/bin/sh\n[ "$1" = -I ] && shift\nPYTHONPATH={folder} exec {sys.executable} "$@"\n'
    environment.interpreter.parent.mkdir(parents=True)
    environment.interpreter.write_text(script, encoding="utf-8")
    environment.interpreter.chmod(0o755)
    Stamp("3.7.0", pinned_versions(environment), "0.1.0").save(environment.folder)
