"""Training states as AdamW leaves them behind, small and seeded."""

import numpy as np

WEIGHTS = {"head.weight": (40, 25), "norm.gamma": (40,)}


def make_states(count, seed=0):
    """`count` states in a row; a small array, a step counter and one of integers besides the weights."""
    generator = np.random.default_rng(seed)
    weights = {name: generator.standard_normal(shape).astype(np.float32) for name, shape in WEIGHTS.items()}
    return [_step(weights, generator, number) for number in range(count)]


def _step(weights, generator, number):
    state = {"norm.moving_mean": generator.standard_normal(40).astype(np.float32), "steps": np.array([number])}
    for name, weight in weights.items():
        change = (1e-3 * generator.standard_normal(weight.shape) * generator.exponential(1, weight.shape))
        weight += change.astype(np.float32)
        noise = generator.standard_normal(weight.shape)
        state[name] = weight.copy()
        state[f"optimizer.first_moment.{name}"] = (change + 1e-4 * noise).astype(np.float32)
        state[f"optimizer.second_moment.{name}"] = (1e-9 + change**2).astype(np.float32)
    return state


def same(one, other):
    """Whether two states hold the same names, types and bits."""
    return one.keys() == other.keys() and all(
        one[name].dtype == other[name].dtype and one[name].shape == other[name].shape
        and one[name].tobytes() == other[name].tobytes() for name in one)
