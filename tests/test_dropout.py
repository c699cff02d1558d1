"""Dropout drops as much as it should, and the generator that it is given decides what."""

import threading

import pytest
import torch
from torch import nn

from dropout import Dropout, drawing_from


@pytest.mark.parametrize("p", [0.1, 0.5, 0.93])
def test_a_share_p_is_dropped_and_the_mean_stays(p):
    torch.manual_seed(0)
    x = torch.full((500, 1001), 3.0, dtype=torch.float64)
    y = Dropout(p)(x)
    assert y.shape == x.shape and y.dtype == x.dtype
    dropped = (y == 0).double()
    deviation = (p * (1 - p) / x.numel()) ** 0.5
    assert dropped.mean().item() == pytest.approx(p, abs=5 * deviation)
    assert y[y != 0].unique().item() == pytest.approx(3 / (1 - p), rel=2e-4)
    assert y.mean().item() == pytest.approx(3, abs=5 * deviation * 3 / (1 - p) + 1e-3)
    # neighbours are dropped independently, though four share one random number
    flat = dropped.flatten()
    for distance in (1, 2, 3, 4, 1001):
        assert abs(torch.corrcoef(torch.stack((flat[distance:], flat[:-distance])))[0, 1]) < 0.01


def test_the_gradient_is_dropped_likewise():
    x = torch.randn(40, 7, requires_grad=True)
    y = Dropout(0.3)(x)
    y.sum().backward()
    torch.testing.assert_close(x.grad, (y / x).detach())
    assert 0 < int((x.grad == 0).sum()) < 280


@pytest.mark.parametrize("p", [0.0, 0.4, 1.0])
def test_it_is_nn_dropout_otherwise(p):
    ours, theirs = Dropout(p), nn.Dropout(p)
    assert repr(ours) == repr(theirs)
    x = torch.randn(5, 3)
    assert torch.equal(ours.eval()(x), x)
    if p != 0.4:
        assert torch.equal(ours.train()(x), theirs.train()(x))
    assert ours(torch.empty(0, 3)).shape == (0, 3)
    assert Dropout(0.9999999)(x).isfinite().all()


def test_each_thread_draws_from_its_own_generator():
    x, drop, found, both = torch.ones(1000), Dropout(0.5), {}, threading.Barrier(2)

    def draw(name, seed, in_turns=True):
        found[name] = []
        with drawing_from(torch.Generator().manual_seed(seed)):
            for _ in range(50):
                if in_turns:
                    both.wait(timeout=60)
                found[name].append(drop(x))

    threads = [threading.Thread(target=draw, args=(seed, seed)) for seed in (1, 2)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    draw("first again", 1, in_turns=False)
    assert all(torch.equal(a, b) for a, b in zip(found[1], found["first again"], strict=True))
    assert not torch.equal(found[1][0], found[2][0])
    torch.manual_seed(0)
    outside = drop(x)
    torch.manual_seed(0)
    assert torch.equal(drop(x), outside)  # outside, torch's default generator decides
