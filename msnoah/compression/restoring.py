"""A step of a chain as a .ckpt that training resumes from."""

from pathlib import Path

from msnoah.compression.chain import SUFFIX, Chain
from msnoah.errors import CheckpointError
from msnoah.state_file import save_state


def restore_checkpoint(folder: Path, output: Path, *, step: int | None = None) -> Path:
    """Restores the newest step, or the one asked for, into `output`, with the metadata of its checkpoint.

    Raises:
        CheckpointError: no such step, or damage in the files that it needs; names the newest that is intact.
        RunFolderError: the output cannot be written.
    """
    chain = Chain(folder)
    path = _find(chain, step)
    try:
        arrays, metadata = chain.restore(path)
    except CheckpointError as error:
        raise CheckpointError(f"{error}; {_offer(chain)}") from error
    save_state(output, arrays, metadata)
    return output


def _find(chain: Chain, step: int | None) -> Path:
    paths = chain.paths()
    if not paths:
        raise CheckpointError(f"{chain.folder}: holds no {SUFFIX} files; `msnoah ckpt compress` makes them")
    if step is None:
        return paths[-1]
    steps = chain.steps()
    if step not in steps:
        raise CheckpointError(f"{chain.folder}: no step {step}; it holds {', '.join(map(str, steps))}")
    return steps[step]


def _offer(chain: Chain) -> str:
    try:
        return f"the newest that is intact: --step {int(chain.newest_intact().stem)}"
    except CheckpointError:
        return "no step of this chain is intact"
