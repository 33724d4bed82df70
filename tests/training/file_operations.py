"""A process that kills itself before one of its file operations: what a kill -9 at the worst moment leaves."""

import os
import signal

OPERATIONS = ("fsync", "replace", "link", "unlink", "mkdir", "rmdir")


def kill_before(number: int) -> list[str]:
    """From here on this process dies before its file operation of this number, from 1 on; gives those done, by name."""
    done: list[str] = []

    def counted(name: str):
        operation = getattr(os, name)

        def operate(*arguments, **options):
            if len(done) + 1 == number:
                os.kill(os.getpid(), signal.SIGKILL)
            done.append(name)
            return operation(*arguments, **options)
        return operate

    for name in OPERATIONS:
        setattr(os, name, counted(name))
    return done
