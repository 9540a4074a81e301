"""A BERT from nothing: its shape, where it starts, and its first steps."""

from __future__ import annotations

import pytest
import torch

from tlcourse.bert import (
    build_tokenizer,
    encode_documents,
    first_steps,
    masked_batches,
    new_bert,
    piece_frequencies,
)

TEXTS = [
    "我们去看电影。电影很好看，大家都喜欢。",
    "今天天气很好，我们在家看书。书很好看，很好。",
] * 8


@pytest.fixture(scope="module")
def material():
    tokenizer = build_tokenizer(TEXTS)
    documents = encode_documents(TEXTS, tokenizer)
    return documents, tokenizer, masked_batches(documents, tokenizer, 16, 24, 8)


def test_shape_and_bias(material):
    documents, tokenizer, _ = material
    model = new_bert(documents, tokenizer, layers=3, width=64, max_length=32)
    config = model.config
    assert (config.num_hidden_layers, config.hidden_size, config.num_attention_heads) == (3, 64, 1)
    assert (config.max_position_embeddings, config.hidden_dropout_prob) == (32, 0.0)
    bias = model.cls.predictions.bias
    assert torch.equal(bias, piece_frequencies(documents, len(tokenizer)).log())
    assert not new_bert(documents, tokenizer, width=64, bias="zeros").cls.predictions.bias.any()


def test_vectors_and_seed(material):
    documents, tokenizer, _ = material

    def table(**options):
        model = new_bert(documents, tokenizer, width=64, **options)
        return model.bert.embeddings.word_embeddings.weight.detach()

    before = torch.get_rng_state()
    assert torch.equal(table(seed=1), table(seed=1))
    assert not torch.equal(table(seed=1), table(seed=2))
    assert torch.equal(torch.get_rng_state(), before), "a run's own draws"
    vectors = {"vector_size": 64, "epochs": 1, "min_count": 1, "seed": 0}
    known = sorted({number for ids in documents.ids for number in ids})
    changed = (table() != table(vectors=vectors)).any(1).nonzero()[:, 0].tolist()
    assert changed == known


def test_first_steps(material):
    shares = []
    checks = first_steps(*material, "zeros", 3e-3, steps=20, progress=shares.append)
    assert [check["step"] for check in checks] == list(range(0, 21, 2))
    assert checks[-1]["mlm"] < checks[0]["mlm"] - 0.1
    assert shares[-1] == 1


@pytest.mark.parametrize(
    ("wrong", "said"),
    [
        ({"bias": "ones"}, "bias must be one of"),
        ({"width": 100}, "width must be a multiple of 64, got 100"),
        ({"layers": 0}, "layers must be"),
        ({"max_length": 0.5}, "max_length must be"),
    ],
)
def test_bad_shapes(material, wrong, said):
    with pytest.raises((ValueError, TypeError), match=said):
        new_bert(*material[:2], **wrong)
