"""`install` disturbs float32 matrix products by 1e-6 of their size: ``make portability``.

Other CPUs round otherwise, and so does this: what only holds to the last digit fails. The noise
of a number follows from its bits and from ``$TLCOURSE_NOISE``, so that the same run fails again
and two equal computations stay equal. torch's products are disturbed as they are computed, forwards
and backwards; NumPy's operators cannot be reached, so their inputs are: the word vectors.
"""

from __future__ import annotations

import os

import numpy as np
import torch
from torch.utils._python_dispatch import TorchDispatchMode

from tlcourse.embeddings import vectors as embeddings

SIZE = 1e-6
SALT = int(os.environ.get("TLCOURSE_NOISE", "1"))
PRODUCTS = {
    "mm", "addmm", "bmm", "baddbmm", "mv", "addmv", "dot", "linear", "_addmm_activation",
    "mkldnn_rnn_layer", "mkldnn_rnn_layer_backward", "lstm", "_scaled_dot_product_attention_math",
    "_scaled_dot_product_flash_attention_for_cpu",
    "_scaled_dot_product_flash_attention_for_cpu_backward",
}  # fmt: skip


def disturbed(values: torch.Tensor) -> torch.Tensor:
    """Each number times 1 plus at most 1e-6, up or down as its bits have it."""
    bits = values.contiguous().view(torch.int32) * 1_103_515_245 + 12_345 * SALT
    bits = (bits ^ (bits >> 15)) * 1_664_525
    return values * (1 + SIZE / 2**31 * bits.float())


class Noise(TorchDispatchMode):
    """Disturbs what the products give."""

    def __torch_dispatch__(self, function, types, args=(), kwargs=None):
        found = function(*args, **(kwargs or {}))
        if function.overloadpacket.__name__ in PRODUCTS:
            for value in found if isinstance(found, (tuple, list)) else (found,):
                if isinstance(value, torch.Tensor) and value.dtype == torch.float32:
                    value.copy_(disturbed(value))
        return found


def disturbed_vectors(words, matrix, counts=None, plain=embeddings.make_vectors):
    """`make_vectors` with noise on E, if it is a whole vocabulary."""
    if np.ndim(matrix) < 2 or len(matrix) < 1_000:  # a test's own few rows, to be found again
        return plain(words, matrix, counts)
    matrix = torch.as_tensor(np.array(matrix, dtype=np.float32))
    return plain(words, disturbed(matrix).numpy(), counts)


def install() -> None:
    """Disturb this process from here on."""
    embeddings.make_vectors = disturbed_vectors
    Noise().__enter__()
