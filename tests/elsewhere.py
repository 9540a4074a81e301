"""A device that is none: tensors on it say ``meta``, hold their numbers, and refuse to be mixed.

What a real device would refuse, an operation on tensors of it and of the CPU, fails here too, so
that a machine without one can tell whether something stayed behind.
"""

from __future__ import annotations

import torch
from torch.utils._python_dispatch import TorchDispatchMode, return_and_correct_aliasing
from torch.utils._pytree import tree_flatten, tree_map

DEVICE = torch.device("meta")


class Elsewhere(torch.Tensor):
    """A tensor of the device; its numbers lie in ``held``."""

    @staticmethod
    def __new__(cls, held):
        made = torch.Tensor._make_wrapper_subclass(
            cls, held.shape, strides=held.stride(), storage_offset=held.storage_offset(),
            dtype=held.dtype, device=DEVICE,
        )  # fmt: skip
        made.held = held
        return made

    def tolist(self):
        return self.held.tolist()

    def __repr__(self):
        return f"Elsewhere({self.held})"

    @classmethod
    def __torch_dispatch__(cls, function, types, given=(), named=None):
        return _run(function, given, named or {})


class Device(TorchDispatchMode):
    """Within the block ``device="meta"`` makes such tensors."""

    def __torch_dispatch__(self, function, types, given=(), named=None):
        return _run(function, given, named or {})


def _run(function, given, named):
    leaves = [leaf for leaf in tree_flatten((given, named))[0] if isinstance(leaf, torch.Tensor)]
    there = [leaf for leaf in leaves if isinstance(leaf, Elsewhere)]
    moves = function in (torch.ops.aten._to_copy.default, torch.ops.aten.copy_.default)
    if there and not moves:
        for leaf in leaves:  # numbers without an axis go along with any device
            if not isinstance(leaf, Elsewhere) and leaf.ndim:
                raise RuntimeError(f"{function}: a tensor {tuple(leaf.shape)} stayed on the CPU")
    stays = bool(there)
    if named.get("device") is not None:
        stays = torch.device(named["device"]) == DEVICE
        named = {**named, "device": "cpu"}
    held = tree_map(lambda leaf: leaf.held if isinstance(leaf, Elsewhere) else leaf, (given, named))
    found = function(*held[0], **held[1])
    if not stays:
        return found
    found = tree_map(lambda leaf: Elsewhere(leaf) if type(leaf) is torch.Tensor else leaf, found)
    return return_and_correct_aliasing(function, given, named, found)
