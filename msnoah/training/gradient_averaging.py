"""Gradients averaged over workers, in a few large messages."""

from collections.abc import Callable, Sequence

from mindspore import Parameter, Tensor, ops

from msnoah.training.worker_group import WorkerGroup

BUCKET_BYTES = 32 * 2**20
"""Of one message: large enough that its latency does not count, small enough to be on its way while other gradients
are still being computed."""

Gradients = tuple[Tensor, ...]
Average = Callable[[Gradients], Gradients]


def average_gradients(parameters: Sequence[Parameter], group: WorkerGroup) -> Average | None:
    """A function for compiled steps: the mean over the workers of float32 gradients, in the parameters' order; None where there is one
    worker.

    A message for each tensor would wait for hundreds of latencies, so tensors are joined into buckets.
    """
    if group.size == 1:
        return None
    all_reduce, share = ops.AllReduce(), 1.0 / group.size
    buckets = fill_buckets([parameter.size for parameter in parameters], BUCKET_BYTES // 4)
    shapes, sizes = [tuple(p.shape) for p in parameters], [p.size for p in parameters]

    def average(gradients):
        averaged = []
        for first, last in buckets:
            flat = ops.concat([gradients[i].reshape(-1) for i in range(first, last)])
            parts = ops.split(all_reduce(flat) * share, sizes[first:last])
            averaged += [parts[i - first].reshape(shapes[i]) for i in range(first, last)]
        return tuple(averaged)

    return average


def fill_buckets(sizes: Sequence[int], limit: int) -> list[tuple[int, int]]:
    """Neighbours from first to last (excluded) that hold `limit` elements or fewer together, or are one alone."""
    buckets, first, held = [], 0, 0
    for place, size in enumerate(sizes):
        if held and held + size > limit:
            buckets.append((first, place))
            first, held = place, 0
        held += size
    return [*buckets, (first, len(sizes))] if sizes else []

