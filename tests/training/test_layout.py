"""Gradients come back in the layout of the maps, with the same values."""

from __future__ import annotations

import torch
from torch import Tensor

from nunbit.networks import create_network
from nunbit.training.layout import gradients_in_layout


def gradients(kept: bool) -> tuple[list[Tensor], list[bool]]:
    network = create_network("cnn-mnist", outputs=3, channels=1, image_size=12, seed=0)
    network.to(memory_format=torch.channels_last).train()
    layouts: list[bool] = []
    pool = network.get_submodule("body.4")

    def look(module: object, inputs: object, outputs: tuple[Tensor, ...]) -> None:
        layouts.append(outputs[0].is_contiguous(memory_format=torch.channels_last))

    pool.register_full_backward_hook(look)
    images = torch.rand(4, 1, 12, 12, generator=torch.Generator().manual_seed(0))
    images = images.to(memory_format=torch.channels_last)
    torch.manual_seed(0)
    if kept:
        with gradients_in_layout(network):
            network(images).logsumexp(1).sum().backward()
    else:
        network(images).logsumexp(1).sum().backward()
    hooks = [m for m in network.modules() if m._forward_pre_hooks]
    assert hooks == [], "none is left behind"
    return [p.grad for p in network.parameters() if p.grad is not None], layouts


def test_the_values_are_the_same_and_the_layout_is_kept() -> None:
    usual, usual_layouts = gradients(kept=False)
    ours, layouts = gradients(kept=True)
    assert layouts == [True]
    assert usual_layouts == [False], "else this file is not needed any more"
    assert len(ours) == len(usual) > 0
    for mine, other in zip(ours, usual, strict=True):
        torch.testing.assert_close(mine, other, rtol=1e-5, atol=1e-7)
