"""Compression beside training: a process of its own, at the lowest priority, that goes through a folder of states."""

import json
import os
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterable
from contextlib import suppress
from dataclasses import asdict
from pathlib import Path

from tqdm import tqdm

import msnoah
from msnoah.atomic_file import link_file
from msnoah.compression.pending import pending_folder, pending_paths
from msnoah.compression.settings import ExcpSettings

MOST_PENDING = 2
MOST_DEATHS = 3
_MODULE = "msnoah.compression.pending"
_POLL_S = 0.02
_PATIENCE_S = 30.0


class BackgroundCompressor:
    """Takes states and goes on at once; with `MOST_PENDING` of them waiting it waits too, and drops none.

    A state that cannot be compressed stays where it waits; it is tried again with the next one, and nobody waits for
    it. A process that is killed is started again. Lines about either go to `say`.
    """

    def __init__(self, folder: Path, settings: ExcpSettings, key_frame_every: int, say: Callable[[str], None]):
        self.folder, self._say = folder, say
        self._order = json.dumps({
            "folder": str(folder.absolute()), "settings": asdict(settings), "key_frame_every": key_frame_every})
        self._process: subprocess.Popen | None = None
        self._looks, self._failed_look = 0, 0   # asked for, and the last of them that failed
        self._deaths = 0                        # since the last state that was compressed

    def add(self, path: Path, step: int) -> None:
        """Takes a state file under a name of its own, so that `path` may be replaced.

        Raises:
            RunFolderError: neither a link nor a copy can be made.
        """
        self.wait(most=MOST_PENDING - 1)
        link_file(path, pending_folder(self.folder) / f"{step:09d}.ckpt")
        self.look()

    def wait(self, most: int = 0) -> bool:
        """Until at most so many wait, with a bar; False if they cannot be compressed."""
        waiting = len(pending_paths(self.folder))
        if waiting <= most:
            return True
        self.look()
        look = self._looks
        with tqdm(total=waiting - most, desc="compress", unit="checkpoint", leave=False) as bar:
            while self._failed_look < look and (left := len(pending_paths(self.folder))) > most:
                bar.update(waiting - left - bar.n)
                if self._process.poll() is not None:
                    self._ask()
                time.sleep(_POLL_S)
        return self._failed_look < look

    def finish(self) -> None:
        """Waits for the rest and ends the process; says so if states stay that cannot be compressed."""
        if not self.wait():
            folder = pending_folder(self.folder)
            count = len(pending_paths(self.folder))
            self._say(f"{count} states stay in {folder}; when what is wrong is mended, --resume compresses them, or "
                      f"`msnoah ckpt compress {folder}/*.ckpt --chain {self.folder}`")
        self.stop()

    def stop(self) -> None:
        """Ends the process; what waits stays."""
        process, self._process = self._process, None
        if process is None:
            return
        with suppress(OSError):   # it has ended, and a line was left in the pipe
            process.stdin.close()
        try:
            process.wait(_PATIENCE_S)
        except subprocess.TimeoutExpired:
            process.kill()
            process.wait()

    def look(self) -> None:
        """Has the process go through what waits."""
        self._looks += 1
        self._ask()

    def _ask(self) -> None:
        """Has the process go through what waits; starts it if it is not there, or ended."""
        if self._process and self._process.poll() is not None:
            self._bury()
            if self._deaths >= MOST_DEATHS:
                self._failed_look = self._looks
                return
        if self._process is None:
            self._start()
        with suppress(OSError):   # it has ended: the next time says so
            self._process.stdin.write(f"{self._looks}\n")
            self._process.stdin.flush()

    def _bury(self) -> None:
        self._deaths += 1
        code = self._process.returncode
        what = f"was killed by signal {-code}" if code < 0 else f"ended with {code}"
        then = "that often in a row that states wait" if self._deaths >= MOST_DEATHS else "and is started again"
        self._say(f"{self.folder}: the process that compresses {what}, {then}")
        self.stop()

    def _start(self) -> None:
        threads = dict.fromkeys(("OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS", "MKL_NUM_THREADS"), "1")
        path = os.pathsep.join(filter(None, [str(Path(msnoah.__file__).parents[1]), os.environ.get("PYTHONPATH")]))
        # In a session of its own: Ctrl-C is for the process that trains.
        self._process = subprocess.Popen(
            [sys.executable, "-m", _MODULE, self._order], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True,
            start_new_session=True, env=os.environ | threads | {"PYTHONPATH": path})
        threading.Thread(target=self._listen, args=(self._process.stdout,), daemon=True).start()

    def _listen(self, answers: Iterable[str]) -> None:
        for line in answers:
            answer = json.loads(line)
            if "failed" in answer:
                step = int(Path(answer["failed"]).stem)
                self._say(f"{answer['why']}; step {step} waits to be compressed, training goes on")
                self._failed_look = max(self._failed_look, answer["look"])
            elif "said" in answer:
                self._say(answer["said"])
            else:
                self._deaths = 0
