"""The optimiser of our networks, and several processes that take its steps together."""

from functools import partial

import torch
from torch import nn

from pipeline.training.optimizing import Optimizer
from pipeline.training.process_group import ProcessGroup, run_processes


def network():
    torch.manual_seed(0)
    layers = nn.Sequential(nn.Conv2d(4, 6, (3, 5)), nn.BatchNorm2d(6), nn.Conv2d(6, 2, 1))
    return layers.to(memory_format=torch.channels_last)


def learn(layers, optimizer, seed):
    torch.manual_seed(seed)
    layers.zero_grad()
    layers(torch.randn(2, 4, 9, 9)).square().sum().backward()
    optimizer.step(0.1)


def test_a_step_turns_all_directions_of_a_kernel_alike():
    layers = network()
    before = [value.detach().clone() for value in layers.parameters()]
    learn(layers, Optimizer(layers, layers[2]), 1)
    moved = [(value - old).detach() for value, old in zip(layers.parameters(), before, strict=True)]
    assert all(change.abs().max() > 0 for change in moved)
    lengths = torch.linalg.svdvals(moved[0].flatten(1)) / 0.1
    assert 0.5 < lengths.min() <= lengths.max() < 1.5  # as near to 1 as five iterations come
    # AdamW's first step is its rate for every element
    assert torch.allclose(moved[4].abs(), torch.tensor(0.02), rtol=0.2)


def test_an_optimiser_goes_on_from_what_a_checkpoint_kept():
    whole, halves = network(), network()
    optimizer = Optimizer(whole, whole[2])
    for seed in (1, 2):
        learn(whole, optimizer, seed)
    first = Optimizer(halves, halves[2])
    learn(halves, first, 1)
    second = Optimizer(halves, halves[2])
    second.load_state_dict(first.state_dict())
    learn(halves, second, 2)
    for value, other in zip(whole.parameters(), halves.parameters(), strict=True):
        assert torch.equal(value, other)


def _average(folder, group: ProcessGroup):
    layers = network()
    for value in layers.parameters():
        value.grad = torch.full_like(value, float(group.rank))
    group.average_gradients(layers.parameters())
    torch.save([value.grad for value in layers.parameters()], folder / f"{group.rank}.pt")


def test_all_processes_follow_the_mean_gradient(tmp_path):
    run_processes(partial(_average, tmp_path), 3)
    for place in range(3):
        assert all((gradient == 1).all() for gradient in torch.load(tmp_path / f"{place}.pt"))
