"""Starting a wider note network from a narrower one."""

import pytest
import torch

from pipeline.training.widening import widened
from pipeline.transcription.note_network import NoteNetwork, Size

NARROW, WIDE = Size(first=16, width=16), Size(first=16, width=32)


@pytest.fixture
def narrow() -> NoteNetwork:
    """One whose normalisations are not those of a network that was never trained."""
    torch.manual_seed(1)
    network = NoteNetwork(NARROW)
    with torch.no_grad():
        for name, value in network.state_dict().items():
            if name.endswith(("running_mean", "running_var", "1.weight", "1.bias")):
                value.uniform_(0.5, 1.5)
    return network.eval()


def heard_by(network: NoteNetwork, samples: torch.Tensor) -> list[torch.Tensor]:
    with torch.no_grad():
        heard = network(samples)
    return [heard.onset, heard.sounding, heard.velocity, heard.family]


def test_a_widened_network_hears_the_same_at_first(narrow):
    wide = NoteNetwork(WIDE)
    wide.load_state_dict(widened(narrow.state_dict(), WIDE, seed=0))
    samples = torch.randn(1, 512 * 20) * 0.1
    for was, now in zip(heard_by(narrow, samples), heard_by(wide.eval(), samples), strict=True):
        torch.testing.assert_close(now, was, rtol=1e-4, atol=1e-4)


def test_old_channels_listen_to_new_ones_after_a_step_and_these_learn_after_two(narrow):
    wide = NoteNetwork(WIDE)
    wide.load_state_dict(widened(narrow.state_dict(), WIDE, seed=0))
    optimizer = torch.optim.SGD(wide.parameters(), lr=0.1)
    samples = torch.randn(1, 512 * 20) * 0.1
    moved = []
    for _ in range(2):
        optimizer.zero_grad()
        heard = wide.train()(samples)
        (heard.onset.square().mean() + heard.family.square().mean()).backward()
        moved.append(float(wide.to_pitches[0].weight.grad[NARROW.width :].abs().max()))
        assert wide.heads.weight.grad[:, NARROW.width :].abs().max() > 0
        optimizer.step()
    assert moved[0] == 0
    assert moved[1] > 0


def test_of_one_seed_new_channels_are_the_same_and_chance_goes_on_as_it_was(narrow):
    before = torch.get_rng_state()
    first, again, other = (widened(narrow.state_dict(), WIDE, seed) for seed in (3, 3, 4))
    assert torch.equal(torch.get_rng_state(), before)
    assert all(torch.equal(first[name], again[name]) for name in first)
    assert not torch.equal(first["to_pitches.0.weight"], other["to_pitches.0.weight"])


@pytest.mark.parametrize(
    "size",
    [
        Size(first=16, width=8),
        Size(first=16, width=32, harmonics=4),
        Size(first=32, width=32),
        Size(first=16, width=32, layers=6),
    ],
)
def test_what_is_no_wider_network_is_refused(narrow, size):
    with pytest.raises(ValueError, match="wider, or has other layers"):
        widened(narrow.state_dict(), size, seed=0)


@pytest.mark.parametrize("name", ["heads.weight", "heads.bias", "before.0.layer.0.weight"])
def test_weights_of_other_outputs_are_refused(narrow, name):
    weights = narrow.state_dict()
    weights[name] = weights[name][:-1]
    with pytest.raises(ValueError, match="other layers"):
        widened(weights, WIDE, seed=0)


def test_weights_of_no_note_network_are_refused():
    with pytest.raises(ValueError, match="other layers"):
        widened({"weight": torch.zeros(3)}, WIDE, seed=0)
