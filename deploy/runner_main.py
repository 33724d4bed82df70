"""The start of the runner on a device: says what is missing there before the worker's imports do.

Written for any Python, since an old one is a thing to tell of: no f-strings, no annotations.
"""

import sys

OLDEST = (3, 10)


def check_python(version, executable):
    """One line on a Python that is too old; None for one that will do."""
    if tuple(version[:2]) >= OLDEST:
        return None
    return "%s is Python %d.%d; msnoah's runner needs %d.%d or later: name one in `python`" % (
        executable, version[0], version[1], OLDEST[0], OLDEST[1])


def check_numpy():
    """One line on a numpy that cannot be imported; None where it can."""
    try:
        import numpy  # noqa: F401
    except ImportError as error:
        return "%s cannot import numpy (%s); `pip install numpy` on the device gets it" % (sys.executable, error)
    return None


def main():
    """Answers requests, or ends with the line that says what is missing."""
    problem = check_python(sys.version_info, sys.executable) or check_numpy()
    if problem:
        sys.exit(problem)
    from msnoah.deploy.worker import main as answer_requests

    answer_requests()


if __name__ == "__main__":
    main()
