"""Features of boxes, cut out of maps by bilinear sampling (RoIAlign) as two matrix products.

Mask R-CNN, He et al., ICCV 2017, https://arxiv.org/abs/1703.06870, with corners shifted by half a pixel as in later
implementations ("aligned"). Sampling is separable: what a row of bins takes from the rows of a map does not depend on
the column, so a box is W_y F W_x^T with one matrix an axis. Any device multiplies matrices, forward and backward, and
every runtime reads them; MindSpore's own ROIAlign knows neither the shift nor a number of samples that fits the box.
"""

from mindspore import dtype as mstype
from mindspore import nn, ops

from msnoah.errors import ModelError
from msnoah.nn.arguments import check_counts, check_positive


class RoIAlign(nn.Cell):
    """Maps (B, C, H, W), boxes (R, 5) of index in the batch, x1, y1, x2, y2 in pixels -> (R, C, bins, bins)

    Args:
        bins: the output's height and width.
        scale: size of the map over that of the image.
        samples: points a bin and axis; 0 takes as many as a bin covers pixels, rounded up, as far as a box inside the
            image needs.

    A point beyond the outermost pixels takes their value, one beyond the map by more than a pixel 0. A box without
    extent has features 0 if samples is 0.
    """

    def __init__(self, bins: int = 8, scale: float = 1 / 16, samples: int = 0):
        super().__init__()
        check_counts(bins=bins)
        check_positive(scale=scale)
        if isinstance(samples, bool) or not isinstance(samples, int) or samples < 0:
            raise ModelError(f"samples={samples!r}: expected a whole number a bin, or 0 for as many as the box needs")
        self.bins, self.scale, self.samples = bins, scale, samples

    def construct(self, x, boxes):
        _, channels, height, width = x.shape
        corners = boxes[:, 1:] * self.scale - 0.5                            # in pixels of the map
        rows = sampling_weights(corners[:, 1], corners[:, 3], self.bins, height, self.samples)
        columns = sampling_weights(corners[:, 0], corners[:, 2], self.bins, width, self.samples)
        x = ops.gather(x.transpose(0, 2, 1, 3), boxes[:, 0].astype(mstype.int32), 0)   # (B, C, H, W) -> (R, H, C, W)
        x = ops.bmm(rows, x.reshape(-1, height, channels * width))          # (R, H, C * W) -> (R, bins, C * W)
        x = ops.bmm(x.reshape(-1, self.bins * channels, width), columns.swapaxes(1, 2))
        return x.reshape(-1, self.bins, channels, self.bins).transpose(0, 2, 1, 3)


def sampling_weights(low, high, bins: int, size: int, samples: int = 0):
    """What each bin between two corners of an axis takes from each pixel of it. (R,), (R,) -> (R, bins, size)

    Bilinear interpolation gives pixel p the weight max(0, 1 - |t - p|) at point t; a bin is the mean of its points.
    """
    most = samples or -(-size // bins)
    step = (high - low) / bins                                              # (R,)
    count = ops.full_like(step, samples) if samples else ops.clamp(ops.ceil(step), 0, most)
    numbers = ops.arange(most).astype(mstype.float32)
    inner = (numbers + 0.5) / ops.clamp(count, 1, most).expand_dims(1)      # (R, points): as parts of a bin
    outer = ops.arange(bins).astype(mstype.float32).reshape(1, bins, 1)
    points = low.reshape(-1, 1, 1) + (outer + inner.expand_dims(1)) * step.reshape(-1, 1, 1)   # (R, bins, points)
    counts = ops.logical_and(points >= -1, points <= size)
    counts = ops.logical_and(counts, (numbers < count.expand_dims(1)).expand_dims(1)).astype(mstype.float32)
    share = counts / ops.clamp(count, 1, most).reshape(-1, 1, 1)            # of a point in its bin
    pixels = ops.arange(size).astype(mstype.float32)
    distance = ops.abs(ops.clamp(points, 0, size - 1).expand_dims(-1) - pixels)
    return (ops.relu(1 - distance) * share.expand_dims(-1)).sum(2)          # (R, bins, points, size) -> (R, bins, size)
