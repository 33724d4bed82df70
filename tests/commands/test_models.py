"""msnoah models --macs: parameters, multiply-accumulates and inputs, of models small enough to count by hand."""

import json

import pytest
from mindspore import nn

from msnoah.cli import main
from msnoah.commands.models import default_input, measure_size
from msnoah.registry import _FACTORIES, list_models, register_model


class _CountableImages(nn.Cell):
    """A convolution, a product, and a bias that fusing takes away. (B, 2, 6, 6) -> (B, 5)"""

    def __init__(self, num_classes: int = 5, in_channels: int = 2, image_size: int = 6, has_bias: bool = True):
        super().__init__()
        self.convolution = nn.Conv2d(in_channels, 4, 3, pad_mode="pad", has_bias=has_bias)
        self.head = nn.Dense(4 * (image_size - 2) ** 2, num_classes)

    def construct(self, x):
        return self.head(self.convolution(x).reshape(len(x), -1))

    def fuse(self):
        """The bias is 0."""
        return _CountableImages(has_bias=False)


class _CountableClips(nn.Cell):
    """One product. (B, 1, 3, 2, 2) -> (B, 5)"""

    def __init__(self, num_classes: int = 5, in_channels: int = 1, num_frames: int = 3, image_size: int = 2):
        super().__init__()
        self.head = nn.Dense(in_channels * num_frames * image_size**2, num_classes)

    def construct(self, x):
        return self.head(x.reshape(len(x), -1))


class _CountablePair(nn.Cell):
    """Two inputs, which it says itself. (1, 3), (4, 3) -> (1, 4)"""

    def __init__(self, width: int = 3):
        super().__init__()
        self.width = width

    def construct(self, x, y):
        return x @ y.T

    def input_shapes(self):
        """Of both."""
        return [[1, self.width], [4, self.width]]


class _Sizeless(nn.Cell):
    """A head that has no image of its own."""

    def __init__(self, num_classes: int = 5):
        super().__init__()


@pytest.fixture(autouse=True)
def countable_models():
    """Models that are registered for one test."""
    list_models()   # those that are always there come first
    before = dict(_FACTORIES)

    @register_model
    def countable_images() -> _CountableImages:
        """Images."""
        return _CountableImages()

    @register_model
    def countable_clips() -> _CountableClips:
        """Clips."""
        return _CountableClips()

    @register_model
    def countable_pair() -> _CountablePair:
        """Pair."""
        return _CountablePair()

    @register_model
    def countable_nothing() -> _Sizeless:
        """Nothing."""
        return _Sizeless()

    yield
    _FACTORIES.clear()
    _FACTORIES.update(before)


def test_sizes_against_counting_by_hand(capsys):
    assert main(["models", "countable_*", "--macs", "--json"]) == 0
    clips, images, nothing, pair = json.loads(capsys.readouterr().out)
    convolution, head = 4 * 4 * 4 * (2 * 3 * 3), 64 * 5
    assert images["macs"] == convolution + head and images["macs_by_operator"]["Conv"] == convolution
    assert images["input"] == [2, 6, 6] and clips["input"] == [1, 3, 2, 2]
    weights = 4 * 2 * 3 * 3 + 64 * 5 + 5
    assert images["parameters"] == {"trained": weights + 4, "fused": weights}
    assert clips["macs"] == 12 * 5 and clips["parameters"]["fused"] == 12 * 5 + 5
    assert pair["input"] == [3] and pair["macs"] == 3 * 4
    assert "has no default input" in nothing["failure"]


def test_one_model_as_a_table(capsys):
    assert main(["models", "countable_clips", "--macs"]) == 0
    heading, row = capsys.readouterr().out.splitlines()
    assert heading.split() == ["model", "input", "trained", "M", "fused", "M", "GMACs"]
    assert row.split() == ["countable_clips", "1x3x2x2", "0.000", "0.000", "0.000"]


def test_a_model_that_cannot_be_counted_alone_is_an_error(capsys):
    assert main(["models", "countable_nothing", "--macs"]) == 2
    assert "model 'countable_nothing' has no default input: its arguments are num_classes" in capsys.readouterr().err


@pytest.mark.parametrize("name, expected", [
    ("squeezetime_r50", [3, 16, 224, 224]), ("deit_tiny_patch16_224", [3, 224, 224]), ("slab_swin_t", [3, 224, 224]),
    ("deit_base_patch16_224_tocom", [3, 224, 224]),
])
def test_default_inputs_of_published_models(name, expected):
    assert default_input(name) == expected


@pytest.mark.slow
def test_a_plugin_counts_as_parameters_and_costs_nothing_once_fused():
    whole, plain = (measure_size(f"deit_tiny_patch16_224{plugin}") for plugin in ("_tocom", ""))
    assert plain["parameters"] == {"trained": 5_717_416, "fused": 5_717_416}
    assert whole["parameters"] == {"trained": 5_717_416 + 294_912, "fused": 5_717_416 + 12 * 64}   # sums of k's biases
    saved = 196 * (10 * 192**2 + 2 * 197 * 192)     # the last block: q, scores, proj and MLP of the class token alone
    assert whole["macs"] == plain["macs"] == 1_253_683_200 - saved
