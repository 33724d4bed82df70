"""BatchNorm over the batch of all workers, for training on several devices.

MindSpore's own nn.SyncBatchNorm does not run on CPUs; this one is made of AllReduce and runs wherever that does.
"""

from mindspore import nn, ops


class _Synchronised:
    """y = gamma (x - mean) / sqrt(var + eps) + beta, in training with mean and var of the samples of all workers.

    Two messages each way: the mean first, then the mean of squares about it, which does not cancel as E[x^2] - E[x]^2
    does. (B, C, ...) -> (B, C, ...), where every worker has equally many samples.
    """

    def construct(self, x):
        if not self.training:
            return self.bn_infer(x, self.gamma, self.beta, self.moving_mean, self.moving_variance)[0]
        axes, shape = (0, *range(2, x.ndim)), (1, -1) + (1,) * (x.ndim - 2)
        mean = self.all_reduce(x.mean(axes)) / self.workers                              # (C,)
        centred = x - mean.reshape(shape)
        variance = self.all_reduce((centred * centred).mean(axes)) / self.workers        # (C,)
        count = x.size // self.num_features * self.workers
        unbiased = variance * (count / max(count - 1, 1))
        ops.assign(self.moving_mean, self.moving_mean + self.momentum * (mean - self.moving_mean))
        ops.assign(self.moving_variance, self.moving_variance + self.momentum * (unbiased - self.moving_variance))
        scale = self.gamma * ops.rsqrt(variance + self.eps)
        return centred * scale.reshape(shape) + self.beta.reshape(shape)


class SynchronisedBatchNorm1d(_Synchronised, nn.BatchNorm1d):
    """Of (B, C)."""


class SynchronisedBatchNorm2d(_Synchronised, nn.BatchNorm2d):
    """Of (B, C, H, W)."""


_KINDS = {nn.BatchNorm1d: SynchronisedBatchNorm1d, nn.BatchNorm2d: SynchronisedBatchNorm2d}
"""nn.BatchNorm3d is a Cell around an nn.BatchNorm2d."""


def synchronise_norms(model: nn.Cell, workers: int) -> int:
    """Makes every BatchNorm of a model take its statistics over `workers` workers; how many there are.

    To be called before anything is compiled. A Cell changes its class, not its place: its weights keep their names, as
    they would not if another Cell took them over.
    """
    norms = [cell for _, cell in model.cells_and_names() if type(cell) in _KINDS]
    for norm in norms:
        norm.__class__ = _KINDS[type(norm)]
        norm.workers, norm.all_reduce = workers, ops.AllReduce()
    return len(norms)
