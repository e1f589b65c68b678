"""Spatial dropout: whole maps, the right share of them, Keras' errors."""

from __future__ import annotations

import pytest
import torch
from torch import Tensor, nn
from torch.autograd import gradcheck

from nunbit.errors import OptionError, ShapeError
from nunbit.layers import SpatialDropout1D, SpatialDropout2D

BOTH = pytest.mark.parametrize(
    ("make", "shape"), [(SpatialDropout1D, (6, 50, 7)), (SpatialDropout2D, (6, 50, 3, 4))]
)


@BOTH
def test_whole_maps_are_dropped_and_the_rest_grows(
    make: type[nn.Module], shape: tuple[int, ...]
) -> None:
    torch.manual_seed(0)
    values = torch.rand(shape) + 0.5
    factor = make(0.25)(values) / values
    per_map = factor.flatten(2)
    torch.testing.assert_close(per_map, per_map[..., :1].expand_as(per_map))
    kept = per_map[..., 0] > 0
    torch.testing.assert_close(per_map[..., 0][kept], torch.full((int(kept.sum()),), 4 / 3))
    assert 0.65 < kept.float().mean() < 0.85
    assert not kept[0].equal(kept[1]), "each sample has its own maps"


@BOTH
def test_channels_last_means_the_last_axis(make: type[nn.Module], shape: tuple[int, ...]) -> None:
    values = torch.ones(shape)
    torch.manual_seed(3)
    first = make(0.5)(values)
    torch.manual_seed(3)
    last = make(0.5, data_format="channels_last")(values.movedim(1, -1))
    assert last.movedim(-1, 1).equal(first)


@BOTH
def test_outside_training_and_at_rate_0_nothing_happens(
    make: type[nn.Module], shape: tuple[int, ...]
) -> None:
    values = torch.rand(shape)
    assert make(0.9).eval()(values) is values
    assert make(0)(values) is values
    assert make(1.0)(values).equal(torch.zeros(shape))


def test_the_mean_stays() -> None:
    torch.manual_seed(1)
    assert SpatialDropout2D(0.4)(torch.ones(200, 100, 1, 1)).mean() == pytest.approx(1, abs=0.02)


@BOTH
def test_its_derivative(make: type[nn.Module], shape: tuple[int, ...]) -> None:
    layer = make(0.5)

    def fixed(values: Tensor) -> Tensor:
        torch.manual_seed(5)
        return layer(values)  # type: ignore[no-any-return]  # modules are untyped

    small = (2, 4, *(2,) * (len(shape) - 2))
    assert gradcheck(fixed, (torch.randn(small, dtype=torch.float64, requires_grad=True),))


def test_a_single_picture_is_refused_where_pytorch_drops_rows() -> None:
    with pytest.raises(ShapeError, match=r"SpatialDropout2D takes \(B, C, H, W\), got \(3, 8, 8\)"):
        SpatialDropout2D(0.5)(torch.zeros(3, 8, 8))
    with pytest.raises(ShapeError, match=r"SpatialDropout1D takes \(B, T, C\), got \(3, 8\)"):
        SpatialDropout1D(0.5, data_format="channels_last")(torch.zeros(3, 8))


@pytest.mark.parametrize("rate", [-0.1, 1.1, float("nan"), "0.5", None, True])
def test_rates_that_are_refused(rate: object) -> None:
    with pytest.raises(OptionError, match=r"SpatialDropout2D: rate is .*expected a number from 0"):
        SpatialDropout2D(rate)  # type: ignore[arg-type]


def test_an_unknown_format_and_a_bad_rate_are_named_together() -> None:
    with pytest.raises(
        OptionError,
        match=r"rate is 2, .* from 0 to 1; data_format is 'NCHW', expected channels_first or",
    ):
        SpatialDropout1D(2, data_format="NCHW")  # type: ignore[arg-type]


def test_what_it_says_of_itself() -> None:
    assert repr(SpatialDropout2D(0.2)) == "SpatialDropout2D(rate=0.2, data_format='channels_first')"
    assert SpatialDropout2D(0.2).kind == "spatial dropout 0.2"
