"""How live numbers are compared, and that the noise which finds sharp edges is really there."""

from __future__ import annotations

import os
import subprocess
import sys

import pytest

from conftest import Approximate


@pytest.mark.parametrize(
    ("one", "two", "same"),
    [
        ("ρ = 0.25 on 53% of 12 pairs", "ρ = 0.27 on 55% of 12 pairs", True),
        ("ρ = 0.25 on 53% of 12 pairs", "ρ = 0.25 on 53% of 13 pairs", False),
        ("ρ = 0.25", "ρ = 0.35", False),
        ("ρ = 0.25", "r = 0.25", False),
        ("-0.04 and 120.5", "0.00 and 121.9", True),
        ("-0.04 and 120.5", "0.03 and 121.9", False),
        ("53%", "61%", False),
        ("0.25 0.30", "0.25", False),
    ],
)
def test_live_numbers_are_compared_with_a_tolerance(one, two, same):
    assert (Approximate(one) == Approximate(two)) is same
    assert (Approximate(one) != Approximate(two)) is not same


NOISY = """
import numpy as np, torch
x = torch.rand(50, 60, generator=torch.Generator().manual_seed(0))
torch.manual_seed(0)
lstm = torch.nn.LSTM(60, 7)
weight = torch.rand(60, 3, requires_grad=True)
def products():
    (x @ weight).square().sum().backward()
    found = x @ x.T, lstm(x[None])[0].detach(), weight.grad
    weight.grad = None
    return found
plain = products()
from tests import noise
noise.install()
for clean, noisy, again in zip(plain, products(), products(), strict=True):
    assert torch.equal(noisy, again)
    assert 1e-7 < ((noisy - clean) / clean).abs().median() < 1e-5, (noisy, clean)
from tlcourse.embeddings import make_vectors
E = np.ones((1_000, 4), np.float32)
assert 0 < np.abs(make_vectors([str(row) for row in range(1_000)], E).vectors - E).max() < 1e-5
"""


def test_noise_reaches_matrix_products_and_vectors():
    done = subprocess.run(
        [sys.executable, "-c", NOISY], env=os.environ, capture_output=True, text=True
    )
    assert done.returncode == 0, done.stderr
