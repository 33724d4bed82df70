"""AdamW and SGD for graph mode: whatever changes from step to step enters as a tensor, so nothing recompiles."""

import math

import numpy as np
from mindspore import Parameter, ParameterTuple, Tensor, nn, ops

from msnoah.errors import ConfigError
from msnoah.train_config import OptimizerConfig, WeightGroupConfig


class AdamW(nn.Cell):
    """Adam with decoupled weight decay and bias correction (Loshchilov and Hutter 2019, algorithm 2).

    m = b1 m + (1 - b1) g;  v = b2 v + (1 - b2) g^2;  with c1 = 1 - b1^t and c2 = 1 - b2^t
    p = p (1 - lr wd) - lr (m / c1) / (sqrt(v / c2) + eps)

    MindSpore's fused kernel knows no bias correction: p -= lr' (m / (sqrt(v) + eps') + wd' p). It computes the same
    with lr' = lr sqrt(c2) / c1, eps' = eps sqrt(c2) and wd' = wd lr / lr', in one pass over the memory.
    """

    def __init__(self, parameters: list[Parameter], config: OptimizerConfig):
        super().__init__()
        self.parameters = ParameterTuple(parameters)
        self.first_moments = self.parameters.clone("first_moment", init="zeros")
        self.second_moments = self.parameters.clone("second_moment", init="zeros")
        self.decayed = tuple(is_decayed(p, config) for p in parameters)
        self.factors = tuple(find_group(p, config).lr for p in parameters)
        self.betas = tuple(config.betas)
        self._weight_decay, self._eps = config.weight_decay, config.eps
        self._update = ops.AdamWeightDecay()

    def step_scalars(self, lr: float, step: int) -> np.ndarray:
        """(3,) float32 that `construct` takes at optimiser step `step` (from 0): lr', eps', wd'."""
        first, second = (1 - beta ** (step + 1) for beta in self.betas)
        return np.array([lr * math.sqrt(second) / first, self._eps * math.sqrt(second),
                         self._weight_decay * first / math.sqrt(second)], np.float32)

    def construct(self, gradients: tuple[Tensor, ...], scalars: Tensor) -> Tensor:
        lr, eps, decay = scalars[0], scalars[1], scalars[2]
        no_decay = decay * 0.0
        for i in range(len(self.parameters)):
            own_lr = lr if self.factors[i] == 1 else lr * self.factors[i]
            own_decay = decay if self.decayed[i] else no_decay
            self._update(self.parameters[i], self.first_moments[i], self.second_moments[i],
                         own_lr, self.betas[0], self.betas[1], eps, own_decay, gradients[i])
        return lr


class SGD(nn.Cell):
    """Momentum as in torch.optim.SGD: g += wd p; m = mu m + g; p -= lr m, or lr (g + mu m) with Nesterov's."""

    def __init__(self, parameters: list[Parameter], config: OptimizerConfig):
        super().__init__()
        self.parameters = ParameterTuple(parameters)
        self.momenta = self.parameters.clone("momentum", init="zeros")
        self.decays = tuple(config.weight_decay if is_decayed(p, config) else 0.0 for p in parameters)
        self.factors = tuple(find_group(p, config).lr for p in parameters)
        self.momentum, self.nesterov = config.momentum, config.nesterov

    def step_scalars(self, lr: float, step: int) -> np.ndarray:
        """(1,) float32 that `construct` takes at optimiser step `step`: the learning rate."""
        return np.array([lr], np.float32)

    def construct(self, gradients: tuple[Tensor, ...], scalars: Tensor) -> Tensor:
        lr = scalars[0]
        for i in range(len(self.parameters)):
            parameter = self.parameters[i]
            gradient = gradients[i] + self.decays[i] * parameter
            momentum = self.momentum * self.momenta[i] + gradient
            direction = gradient + self.momentum * momentum if self.nesterov else momentum
            ops.assign(self.momenta[i], momentum)
            own_lr = lr if self.factors[i] == 1 else lr * self.factors[i]
            ops.assign(parameter, parameter - own_lr * direction)
        return lr


def is_decayed(parameter: Parameter, config: OptimizerConfig) -> bool:
    """Names with a part in `no_decay` are not, nor 1-D weights (biases, norms, alpha) unless `decay_1d`; its group may
    except a weight too."""
    named = any(part in parameter.name for part in config.no_decay) or not find_group(parameter, config).decay
    return (config.decay_1d or len(parameter.shape) > 1) and not named


def find_group(parameter: Parameter, config: OptimizerConfig) -> WeightGroupConfig:
    """The first group whose text is in the weight's name; one that changes nothing if there is none."""
    everything = WeightGroupConfig(contains="")
    return next((group for group in config.groups if group.contains in parameter.name), everything)


def create_optimizer(parameters: list[Parameter], config: OptimizerConfig) -> AdamW | SGD:
    """The optimiser that the config names, over these parameters; ConfigError for a group of no weights."""
    for group in config.groups:
        if not any(group.contains in parameter.name for parameter in parameters):
            starts = ", ".join(sorted({parameter.name.split(".")[0] for parameter in parameters}))
            raise ConfigError(f"train.optimizer.groups: no weight's name holds '{group.contains}'; names begin with {starts}")
    return _OPTIMIZERS[config.name](parameters, config)


def optimizer_state(optimizer: AdamW | SGD) -> dict[str, Parameter]:
    """What a checkpoint must hold to go on bit for bit: every moment, by name."""
    own = {id(p) for p in optimizer.parameters}
    return {p.name: p for p in optimizer.get_parameters() if id(p) not in own}


_OPTIMIZERS = {"adamw": AdamW, "sgd": SGD}
