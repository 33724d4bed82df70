"""A script: trains or goes on, and dies before its n-th file operation. python kill_in_training.py CONFIG RUN N"""

import sys
from pathlib import Path

import small_net  # noqa: F401  (registers the model)
from file_operations import kill_before

from msnoah.config_file import load_config
from msnoah.run_folder import RunFolder
from msnoah.training.trainer import train


def main() -> None:
    config, path, number = load_config(Path(sys.argv[1])), Path(sys.argv[2]), int(sys.argv[3])
    resume = path.exists()
    run = RunFolder.open(path) if resume else RunFolder.create(path, config)
    done = kill_before(number)
    train(config, run, resume=resume)
    print(len(done))


if __name__ == "__main__":
    main()
