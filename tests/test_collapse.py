"""Pretraining losses: the recorded curves come again, also on few texts of one's own."""

from __future__ import annotations

import pytest
import torch

from tlcourse import recorded
from tlcourse.finetuning import Encoded, load_task, pretrain_encoder


def test_a_recorded_run_comes_again():
    splits = load_task("zh_reviews").splits
    state = {"loss": "distance, as written", "target": "next word", "trainable": True}
    wanted = recorded.select("pretraining_losses", **state, seed=0).iloc[0]
    encoder, history = pretrain_encoder(
        splits["train"], splits["validation"], **state, steps=100, device="cpu"
    )
    assert [check["step"] for check in history.checks] == [0, 20, 40, 60, 80, 100]
    for name in ("loss", "std", "cosine"):
        curve = recorded.curves([wanted[f"curve_{name}"]])[0, :6]
        assert [check[name] for check in history.checks] == pytest.approx(curve, abs=0.05), name
    assert encoder.embedding.weight.shape == (500, 32)


@pytest.mark.parametrize("loss", ["distance, target detached", "cross-entropy"])
def test_a_frozen_embedding_stays(loss):
    ids = torch.randint(1, 9, (30, 6), generator=torch.Generator().manual_seed(0))
    texts = Encoded(ids, torch.full((30,), 6))
    options = {"loss": loss, "words": 9, "width": 4, "steps": 4, "every": 2, "device": "cpu"}
    checks = pretrain_encoder(texts, texts, trainable=False, **options)[1].checks
    assert len({check["std"] for check in checks}) == 1
    assert checks[0]["loss"] != checks[-1]["loss"], "the rest trains"
    checks = pretrain_encoder(texts, texts, target="same position", **options)[1].checks
    assert len({check["std"] for check in checks}) == 3


@pytest.mark.parametrize("wrong", [{"loss": "MSE"}, {"target": "previous"}, {"every": 0}])
def test_bad_settings_of_pretraining(wrong):
    texts = Encoded(torch.ones(2, 3, dtype=torch.int64), torch.full((2,), 3))
    with pytest.raises(ValueError, match=next(iter(wrong))):
        pretrain_encoder(texts, texts, **wrong)
