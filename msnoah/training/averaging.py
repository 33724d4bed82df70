"""Exponential moving average of weights and BatchNorm statistics."""

from collections.abc import Iterator
from contextlib import contextmanager

import mindspore as ms
from mindspore import Parameter, ParameterTuple, Tensor, ops

from msnoah.training.train_step import compiled


class WeightAverage:
    """average = decay * average + (1 - decay) * weight, after each step; it starts at the weights themselves."""

    def __init__(self, weights: dict[str, Parameter], decay: float, mode: str = "graph"):
        self.weights = {name: weight for name, weight in weights.items() if weight.dtype == ms.float32}
        self.averages = {name: Parameter(Tensor(weight.asnumpy().copy()), name=f"average.{name}", requires_grad=False)
                         for name, weight in self.weights.items()}
        self.update = compiled(_update(tuple(self.weights.values()), tuple(self.averages.values()), decay), mode)

    @contextmanager
    def applied(self) -> Iterator[None]:
        """Inside, the model computes with the averages; afterwards the trained weights are back."""
        trained = {name: weight.asnumpy().copy() for name, weight in self.weights.items()}
        self.replace_weights()
        try:
            yield
        finally:
            for name, weight in self.weights.items():
                ops.assign(weight, Tensor(trained[name]))

    def replace_weights(self) -> None:
        """The averages become the model's weights, for good."""
        for name, weight in self.weights.items():
            ops.assign(weight, self.averages[name])   # set_data would not reach compiled functions


def _update(weights: tuple[Parameter, ...], averages: tuple[Parameter, ...], decay: float):
    sources, targets = ParameterTuple(weights), ParameterTuple(averages)

    def update():
        for i in range(len(sources)):
            ops.assign(targets[i], decay * targets[i] + (1 - decay) * sources[i])
        return 0

    return update
