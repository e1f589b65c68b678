"""Padding "same" against TensorFlow's numbers, slow NumPy, and its own arithmetic."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from numpy.typing import NDArray
from torch import Tensor, nn
from torch.autograd import gradcheck

from nunbit.errors import OptionError
from nunbit.layers import SameAvgPool2d, SameConv2d, SameMaxPool2d, same_padding

ROWS = [
    # n, kernel, stride, before, after: TensorFlow 2.21
    (6, 3, 2, 0, 1),
    (7, 3, 2, 1, 1),
    (224, 7, 2, 2, 3),
    (6, 2, 2, 0, 0),
    (6, 4, 2, 1, 1),
    (6, 5, 2, 1, 2),
    (6, 5, 3, 1, 1),
]


@pytest.mark.parametrize(("n", "kernel", "stride", "before", "after"), ROWS)
def test_the_padding_of_tensorflow(
    n: int, kernel: int, stride: int, before: int, after: int
) -> None:
    assert same_padding(n, kernel, stride=stride) == (before, after)


sizes = st.integers(1, 40)
few = st.integers(1, 7)


@given(size=sizes, kernel=few, stride=few, dilation=st.integers(1, 4))
def test_the_output_is_ceil_of_size_by_stride(
    size: int, kernel: int, stride: int, dilation: int
) -> None:
    before, after = same_padding(size, kernel, stride=stride, dilation=dilation)
    reach = dilation * (kernel - 1) + 1
    assert 0 <= before <= after <= before + 1
    out = (size + before + after - reach) // stride + 1
    assert out == -(-size // stride)
    if before + after:  # no place too many: the last window ends at the edge
        assert (out - 1) * stride + reach == size + before + after


def test_a_symmetric_padding_lies_one_pixel_off_at_even_sizes() -> None:
    """First taps 0, 2, 4 against PyTorch's -1, 1, 3."""
    ramp = torch.arange(1.0, 7.0).view(1, 1, 1, 6)
    ours, theirs = SameConv2d(1, 1, 3, stride=2, bias=False), nn.Conv2d(1, 1, 3, 2, 1, bias=False)
    for layer in (ours, theirs):
        with torch.no_grad():
            layer.weight.zero_()[0, 0, 1, 0] = 1
    # Height 1 is padded by 1 and 1 in both.
    assert ours(ramp).flatten().tolist() == [1, 3, 5]
    assert theirs(ramp).flatten().tolist() == [0, 2, 4]


def windows(
    image: NDArray[np.float64],
    kernel: int,
    stride: int,
    dilation: int,
    reduce: Callable[..., float],
) -> NDArray[np.float64]:
    """Apply ``reduce`` to the real pixels under each window and their taps, slowly."""
    rows, columns = image.shape
    top, left = (same_padding(n, kernel, stride=stride, dilation=dilation)[0] for n in image.shape)
    made = np.zeros((-(-rows // stride), -(-columns // stride)))
    for y in range(made.shape[0]):
        for x in range(made.shape[1]):
            seen = []
            for a in range(kernel):
                for b in range(kernel):
                    row, column = y * stride - top + a * dilation, x * stride - left + b * dilation
                    if 0 <= row < rows and 0 <= column < columns:
                        seen.append((image[row, column], a, b))
            made[y, x] = reduce(seen)
    return made


shapes = st.tuples(st.integers(1, 9), st.integers(1, 9))
cases = given(shape=shapes, kernel=st.integers(1, 5), stride=st.integers(1, 4), seed=st.integers())
quick = settings(max_examples=60, deadline=None)


def picture(shape: tuple[int, int], seed: int) -> NDArray[np.float64]:
    return np.random.default_rng(abs(seed)).normal(size=shape) - 3


def as_batch(image: NDArray[np.float64]) -> Tensor:
    return torch.from_numpy(image)[None, None]


@quick
@cases
def test_the_convolution_is_the_slow_one(
    shape: tuple[int, int], kernel: int, stride: int, seed: int
) -> None:
    image = picture(shape, seed)
    for dilation in (1, 2):
        layer = SameConv2d(1, 1, kernel, stride=stride, dilation=dilation, bias=False).double()
        weight = layer.weight.detach().numpy()[0, 0]
        slow = windows(
            *(image, kernel, stride, dilation),
            lambda seen, weight=weight: sum(value * weight[a, b] for value, a, b in seen),
        )
        made = layer(as_batch(image)).detach().numpy()[0, 0]
        np.testing.assert_allclose(made, slow, rtol=1e-9, atol=1e-9)


@quick
@cases
def test_pooling_is_the_slow_one(
    shape: tuple[int, int], kernel: int, stride: int, seed: int
) -> None:
    image = picture(shape, seed)  # below 0: a padded 0 would win
    slow = windows(image, kernel, stride, 1, lambda seen: np.mean([one[0] for one in seen]))
    made = SameAvgPool2d(kernel, stride)(as_batch(image)).numpy()[0, 0]
    np.testing.assert_allclose(made, slow, rtol=1e-9)
    slow = windows(image, kernel, stride, 1, lambda seen: max(one[0] for one in seen))
    made = SameMaxPool2d(kernel, stride)(as_batch(image)).numpy()[0, 0]
    assert np.array_equal(made, slow)


def test_each_axis_has_its_own_numbers() -> None:
    images = torch.randn(2, 3, 8, 9)
    layer = SameConv2d(3, 4, (2, 5), stride=(1, 2), dilation=(2, 1))
    padded = nn.functional.pad(images, (2, 2, 1, 1))
    expected = nn.functional.conv2d(padded, layer.weight, layer.bias, (1, 2), 0, (2, 1))
    assert layer(images).shape == (2, 4, 8, 5)
    torch.testing.assert_close(layer(images), expected)
    assert SameMaxPool2d((2, 3), (1, 2))(images).shape == (2, 3, 8, 5)
    assert SameMaxPool2d(3, 2)(images[..., :6, :6]).shape == (2, 3, 3, 3)  # as Keras', run
    assert SameMaxPool2d(2)(images).shape == (2, 3, 4, 5), "the step is the window, as in Keras"


@pytest.mark.filterwarnings("ignore:Using padding='same' with even kernel")
def test_stride_1_is_pytorchs_same() -> None:
    images = torch.randn(2, 6, 7, 8)
    for kernel in (1, 2, 3, 4, 5):
        ours = SameConv2d(6, 4, kernel, groups=2)
        theirs = nn.Conv2d(6, 4, kernel, padding="same", groups=2)
        theirs.load_state_dict(ours.state_dict())
        torch.testing.assert_close(ours(images), theirs(images))


@pytest.mark.parametrize(
    "layer",
    [
        SameConv2d(2, 3, 3, stride=2),
        SameConv2d(2, 3, 4, dilation=2),
        SameMaxPool2d(3, 2),
        SameMaxPool2d(2, 1),
        SameAvgPool2d(3, 2),
        SameAvgPool2d(4, 1),
    ],
    ids=str,
)
def test_derivatives(layer: nn.Module) -> None:
    values = torch.randn(2, 2, 6, 5, dtype=torch.float64, requires_grad=True)
    weights = [parameter.requires_grad_() for parameter in layer.double().parameters()]

    def run(values: Tensor, *_: Tensor) -> Tensor:
        return layer(values)  # type: ignore[no-any-return]  # modules are untyped

    assert gradcheck(run, (values, *weights))


def test_averages_of_ones_stay_ones_and_the_largest_of_negatives_is_found() -> None:
    assert SameAvgPool2d(3, 2)(torch.ones(1, 1, 6, 6)).equal(torch.ones(1, 1, 3, 3))
    values = -torch.arange(1.0, 8.0).expand(1, 1, 7, 7)
    assert SameMaxPool2d(3, 2)(values)[0, 0, 0].tolist() == [-1, -2, -4, -6]


def test_what_they_call_themselves() -> None:
    assert SameConv2d(1, 1, 3, stride=2).kind == "conv 3×3, stride 2, padding same"
    assert SameConv2d(1, 1, (3, 5)).kind == "conv 3×5, padding same"
    assert SameMaxPool2d(3, 2).kind == "max-pool 3, stride 2, padding same"
    assert SameAvgPool2d((2, 1)).kind == "average-pool 2×1, padding same"
    assert "padding=same" in repr(SameConv2d(1, 1, 3))


def test_sizes_that_are_refused() -> None:
    with pytest.raises(
        OptionError, match=r"same_padding: size is 0, .*; stride is 1.5, expected a"
    ):
        same_padding(0, 3, stride=1.5)  # type: ignore[arg-type]
    with pytest.raises(
        OptionError, match=r"SameConv2d: kernel_size is 0, .*; stride is \(1, 0\), "
    ):
        SameConv2d(1, 1, 0, stride=(1, 0))
    with pytest.raises(OptionError, match=r"SameAvgPool2d: kernel_size is True, expected a whole"):
        SameAvgPool2d(True)
