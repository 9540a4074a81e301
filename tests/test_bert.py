"""Lesson 5's own code: attention, pretraining, fine-tuning, frozen layers, entities."""

from __future__ import annotations

import contextlib
import json
import math
import os
import signal
import subprocess
import sys

import numpy as np
import pandas as pd
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from transformers import (
    BertConfig,
    BertForPreTraining,
    BertForSequenceClassification,
    BertForTokenClassification,
    BertModel,
)

from experiments.bert_models import TUNED_AT
from tlcourse import bert
from tlcourse.bert import entities, inspection, layers, masking, pretraining, tuning
from tlcourse.bert.attention import attention, layer_attention
from tlcourse.bert.models import BertMeanClassifier
from tlcourse.data.sources import manifest, verify
from tlcourse.finetuning.layers import freeze
from tlcourse.inputs import take
from tlcourse.paths import data_dir

TEXTS = [
    "这本书很好,值得一看。内容丰富!",
    "房间太小了。服务也不好,不推荐",
    "电脑很快;屏幕清晰,键盘舒服",
    "好",
] * 3
SHAPE = {
    "hidden_size": 16,
    "num_hidden_layers": 3,
    "num_attention_heads": 2,
    "intermediate_size": 32,
    "max_position_embeddings": 64,
}


@pytest.fixture(scope="module")
def tokenizer():
    return masking.build_tokenizer(TEXTS, min_count=1)


@pytest.fixture(scope="module")
def folder(tokenizer, tmp_path_factory):
    """A small BERT checkpoint with its tokenizer."""
    place = tmp_path_factory.mktemp("bert")
    torch.manual_seed(0)
    BertForPreTraining(BertConfig(vocab_size=len(tokenizer), **SHAPE)).save_pretrained(place)
    tokenizer.save_pretrained(place)
    return str(place)


@pytest.fixture
def data(tokenizer):
    return bert.encode(tokenizer, TEXTS, 32), torch.arange(len(TEXTS)) % 2


@settings(max_examples=30, deadline=None)
@given(st.integers(1, 6), st.integers(1, 6), st.integers(1, 8), st.integers(0, 99))
def test_attention_is_torchs(m, n, d, seed):
    generator = torch.Generator().manual_seed(seed)
    Q, K, V = (torch.randn(2, rows, d, generator=generator) for rows in (m, n, n))
    mask = torch.rand(2, m, n, generator=generator) < 0.6
    mask[..., 0] = True
    for some in (None, mask):
        output, weights = attention(Q, K, V, some)
        wanted = torch.nn.functional.scaled_dot_product_attention(Q, K, V, some)
        assert torch.allclose(output, wanted, atol=1e-5)
        assert torch.allclose(weights.sum(-1), torch.ones(2, m), atol=1e-5)
    assert not weights[~mask].any()


def test_attention_names_what_does_not_fit():
    with pytest.raises(ValueError, match="same last axis"):
        attention(torch.zeros(2, 3), torch.zeros(2, 4), torch.zeros(2, 4))
    with pytest.raises(ValueError, match="nothing to read"):
        attention(*torch.zeros(3, 2, 4), torch.zeros(2, 2, dtype=torch.bool))


@pytest.mark.parametrize("name", ["minilm", "bert-zh"])
def test_one_real_layer_is_attention_by_hand(name):
    model = bert.load_model(BertModel, name, attn_implementation="eager")
    inputs = bert.encode(bert.load_tokenizer(name), ["一 two 三", "four four four four four"], 16)
    kept = []
    for layer in model.encoder.layer:
        layer.attention.self.register_forward_hook(lambda module, args, out: kept.append(out[0]))
    with torch.no_grad():
        found = model(**inputs, output_hidden_states=True, output_attentions=True)
        for number, layer in enumerate(model.encoder.layer):
            output, weights = layer_attention(
                layer, found.hidden_states[number], inputs["attention_mask"]
            )
            assert torch.allclose(output, kept[number], atol=1e-5)
            assert torch.allclose(weights, found.attentions[number], atol=1e-5)


def test_the_weights_of_minilm_are_the_released_ones():
    verify("minilm")  # hashes every file again
    weights = next(m for m in manifest()["minilm"].sources[0].members if "model." in m.save)
    released = "53aa51172d142c89d9012cce15ae4d6cc0ca6895895114379cacb4fab128d9db"
    assert weights.sha256 == released


def test_the_own_bert_is_small_and_safe():
    place = data_dir() / "models" / "bert-zh"
    names = {path.name for path in place.iterdir()}
    assert {"model.safetensors", "config.json", "tokenizer.json", "recipe.json"} <= names
    assert not [name for name in names if name.endswith((".bin", ".pt", ".pkl"))]
    assert sum(path.stat().st_size for path in place.iterdir()) < 25e6
    about = json.loads((place / "recipe.json").read_text())
    assert about["command"].endswith("tlcourse pretrain bert-zh")
    assert {check["step"] for check in about["checks"] if "reviews" in check} == set(TUNED_AT)
    assert about["checks"][-1]["mlm"] < 4.3 < about["unigram_loss"]
    assert len(about["train_mlm"]) * 50 == sum(stage[0] for stage in about["recipe"]["stages"])


# Pretraining.


def test_documents_are_cut_at_their_punctuation(tokenizer):
    found = masking.encode_documents(TEXTS[:3], tokenizer)
    assert [len(ids) for ids in found.ids] == [len(text) for text in TEXTS[:3]]
    assert [list(starts) for starts in found.starts] == [[0, 6, 11], [0, 6, 12], [0, 5, 10]]


@settings(max_examples=20, deadline=None)
@given(st.integers(0, 999), st.integers(8, 40))
def test_sentence_pairs_are_what_their_label_says(seed, max_length):
    tokenizer = masking.build_tokenizer(TEXTS, min_count=1)
    documents = masking.encode_documents(TEXTS[:3], tokenizer)
    texts = [" ".join(map(str, ids)) for ids in documents.ids]
    for pair in masking.draw_pairs(documents, 20, max_length, np.random.default_rng(seed)):
        a, b, label = pair["a"], pair["b"], pair["next_sentence_label"]
        assert len(a) > 0
        assert len(a) + len(b) <= max_length - 3
        joined = " ".join(map(str, [*a, *b]))
        assert (label == 1) == all(joined not in text for text in texts)
        assert (label == -100) == (len(b) == 0)


def test_masking_is_80_10_10_of_15_percent(tokenizer):
    torch.manual_seed(0)
    pair = {"a": np.tile(np.arange(5, 45), 20), "b": np.arange(5, 10), "next_sentence_label": 0}
    batch = masking.collate_pairs([pair] * 40, tokenizer)
    ids, labels = batch["input_ids"], batch["labels"]
    chosen = labels != -100
    assert float(chosen.float().mean()) == pytest.approx(0.15, abs=0.01)
    blank = ids[chosen] == tokenizer.mask_token_id
    kept = ids[chosen] == labels[chosen]
    assert float(blank.float().mean()) == pytest.approx(0.8, abs=0.02)
    assert float(kept.float().mean()) == pytest.approx(0.1, abs=0.02)
    special = torch.isin(labels, torch.tensor([tokenizer.cls_token_id, tokenizer.sep_token_id]))
    assert not special.any()
    assert set(batch["token_type_ids"][0].tolist()) == {0, 1}


def _documents(tokenizer):
    return masking.encode_documents(TEXTS, tokenizer)


def test_losses_are_the_librarys(tokenizer, folder):
    model = bert.load_model(BertForPreTraining, folder)
    torch.manual_seed(0)
    pairs = masking.draw_pairs(_documents(tokenizer), 8, 24, np.random.default_rng(0))
    batch = masking.collate_pairs(pairs, tokenizer)
    mlm, nsp = pretraining.pretraining_losses(model, batch)
    assert float(mlm + nsp) == pytest.approx(float(model(**batch).loss), abs=1e-5)
    scores = pretraining.pretraining_scores(model, [batch])
    assert scores["mlm"] == pytest.approx(float(mlm), abs=1e-3)
    assert scores["nsp"] == pytest.approx(float(nsp), abs=1e-3)


def test_a_batch_without_any_sentence_b(tokenizer, folder):
    model = bert.load_model(BertForPreTraining, folder)
    documents = masking.encode_documents(["好好好好好好"] * 4, tokenizer)
    torch.manual_seed(0)
    pairs = masking.draw_pairs(documents, 40, 24, np.random.default_rng(0))
    batch = masking.collate_pairs(pairs, tokenizer)
    mlm, nsp = pretraining.pretraining_losses(model, batch)
    assert float(mlm) > 0
    assert float(nsp) == 0
    assert math.isnan(pretraining.pretraining_scores(model, [batch])["nsp"])


def test_documents_that_cannot_be_used(tokenizer):
    with pytest.raises(ValueError, match="none of the 2 texts"):
        masking.encode_documents(["", "好"], tokenizer)
    with pytest.raises(ValueError, match="5 or more"):
        masking.draw_pairs(_documents(tokenizer), 2, 4, np.random.default_rng(0))


def test_the_unigram_loss_is_reached_without_reading(tokenizer, folder):
    """A model whose decoder has only its bias left guesses by frequency."""
    documents = _documents(tokenizer)
    model = bert.load_model(BertForPreTraining, folder)
    with torch.no_grad():
        model.cls.predictions.decoder.weight.zero_()
        shares = masking.piece_frequencies(documents, len(tokenizer))
        model.cls.predictions.decoder.bias.copy_(shares.log())
    torch.manual_seed(0)
    pairs = masking.draw_pairs(documents, 16, 24, np.random.default_rng(0))
    batches = [masking.collate_pairs(pairs, tokenizer)]
    wanted = masking.unigram_loss(documents, batches, len(tokenizer))
    assert pretraining.pretraining_scores(model, batches)["mlm"] == pytest.approx(wanted, abs=1e-3)


def _pretrained(tokenizer, steps, **options):
    torch.manual_seed(0)
    model = BertForPreTraining(BertConfig(vocab_size=len(tokenizer), **SHAPE))
    history = pretraining.pretrain(
        model, _documents(tokenizer), tokenizer, stages=[(4, 8, 16), (steps - 4, 4, 24)],
        learning_rate=1e-3, warmup=2, **options,
    )  # fmt: skip
    return model, history


def test_an_interrupted_pretraining_goes_on_as_if_nothing_had_been(tokenizer, tmp_path):
    whole, history = _pretrained(tokenizer, 8)
    state = tmp_path / "state.safetensors"

    def stop(share):
        if share > 0.7:
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        _pretrained(tokenizer, 8, state=state, keep_every=3, progress=stop)
    again, resumed = _pretrained(tokenizer, 8, state=state, keep_every=3)
    assert resumed.parts["mlm"] == history.parts["mlm"]
    for name, value in whole.named_parameters():
        assert torch.equal(value, dict(again.named_parameters())[name])


@pytest.mark.skipif(not torch.cuda.is_available(), reason="no CUDA device here")
def test_pretraining_on_a_cuda_device(tokenizer, tmp_path):
    state = tmp_path / "state.safetensors"
    for steps in (6, 8):  # the second goes on from the first's state
        model, history = _pretrained(tokenizer, steps, device="auto", state=state, keep_every=2)
    assert model.device.type == "cuda"
    assert len(history.loss) == 8
    assert all(map(math.isfinite, history.loss))


LAUNCHERS = {  # accelerate's own launcher starts several processes on GPUs only
    1: ["accelerate.commands.launch", "--cpu", "--num_processes", "1", "--num_machines", "1",
        "--mixed_precision", "bf16", "--dynamo_backend", "no"],
    2: ["torch.distributed.run", "--standalone", "--nproc-per-node", "2"],
}  # fmt: skip


@pytest.mark.parametrize("processes", LAUNCHERS)
def test_pretraining_runs_under_launchers(processes, tokenizer, tmp_path):
    script = tmp_path / "go.py"
    script.write_text(
        "import sys\n"
        "from pathlib import Path\n"
        "from experiments import bert_models as recipes\n"
        f"texts = {TEXTS!r}\n"
        "recipes.load_documents = lambda split: texts * 5\n"
        "recipes.tuned_accuracy = lambda model, tokenizer: 0.5\n"
        "recipes.mlm_by_place = lambda model, documents, tokenizer: [0.0, 0.0]\n"
        f"recipes.SHAPE = {SHAPE!r}\n"
        "recipes.VECTORS = {**recipes.VECTORS, 'vector_size': 16, 'epochs': 1}\n"
        "recipes.RECIPE = {**recipes.RECIPE, 'stages': [(4, 4, 24)], 'warmup': 1}\n"
        "recipes.CHECKS, recipes.TUNED_AT, recipes.VALIDATION_PAIRS = (0, 4), (4,), 8\n"
        "recipes.make(Path(sys.argv[1]))\n"
    )
    log = tmp_path / "log"
    with log.open("w") as stream:
        child = subprocess.Popen(
            [sys.executable, "-m", *LAUNCHERS[processes], str(script), str(tmp_path / "out")],
            env={**os.environ, "ACCELERATE_USE_CPU": "true"},
            stdout=stream, stderr=stream, start_new_session=True,
        )  # fmt: skip
    try:
        assert child.wait(120) == 0, log.read_text()[-2000:]
    finally:  # a launcher's children outlive it otherwise
        with contextlib.suppress(ProcessLookupError):
            os.killpg(child.pid, signal.SIGKILL)
    place = tmp_path / "out" / "bert-zh"
    assert json.loads((place / "recipe.json").read_text())["processes"] == processes
    assert bert.load_model(BertForPreTraining, str(place)).dtype == torch.float32


# Fine-tuning and freezing.


def test_checkpoints_by_name_or_folder(tmp_path, folder):
    assert bert.checkpoint_folder(folder) == folder
    with pytest.raises(ValueError, match=r"no config\.json"):
        bert.checkpoint_folder(str(tmp_path))
    (tmp_path / "config.json").write_text('{"model_type": "roberta"}')
    with pytest.raises(ValueError, match="'roberta'"):
        bert.load_model(BertMeanClassifier, str(tmp_path))


def test_the_own_bert_reads_full_width_forms():
    tokenizer = bert.load_tokenizer("bert-zh")
    assert tokenizer.tokenize("好，ＡＢ！") == tokenizer.tokenize("好,ab!")
    assert tokenizer.unk_token not in tokenizer.tokenize("好，ＡＢ！")


def test_a_new_head_depends_on_the_seed_alone(folder):
    heads = [
        bert.load_model(BertMeanClassifier, folder, seed=seed).classifier.weight
        for seed in (0, 0, 1)
    ]
    assert torch.equal(heads[0], heads[1])
    assert not torch.equal(heads[0], heads[2])
    scratch = bert.load_model(BertMeanClassifier, folder, scratch=True, seed=7)
    loaded = bert.load_model(BertMeanClassifier, folder)
    word = "bert.embeddings.word_embeddings.weight"
    assert not torch.equal(scratch.state_dict()[word], loaded.state_dict()[word])


def test_padding_changes_nothing(folder, data):
    inputs, _ = data
    for kind in (BertMeanClassifier, BertForSequenceClassification):
        model = bert.load_model(kind, folder)
        together = bert.predict(model, inputs, batch_size=12)
        for row in (0, 3):
            alone = bert.predict(model, {name: values[[row]] for name, values in inputs.items()})
            assert together[row] == pytest.approx(alone[0], abs=1e-5)


@pytest.mark.parametrize("kind", [BertMeanClassifier, BertForSequenceClassification])
@pytest.mark.parametrize("k", [1, 2, 3])
def test_cached_activations_train_the_same_model(kind, k, folder, data):
    """Dropout is on in what trains, and off in what is frozen, both ways."""
    inputs, labels = data
    options = {"steps": 6, "batch_size": 5, "learning_rate": 1e-2, "seed": 3}
    whole = bert.load_model(kind, folder)
    freeze(whole, k)
    plain = bert.fine_tune(whole, inputs, labels, **options)
    cached = bert.load_model(kind, folder)
    freeze(cached, k)
    upper, states = layers.above(cached, inputs, k)
    quick = bert.fine_tune(upper, states, labels, **options)
    assert quick.loss == pytest.approx(plain.loss, abs=1e-5)
    assert bert.predict(cached, inputs) == pytest.approx(bert.predict(whole, inputs), abs=1e-4)
    assert bert.predict(upper, states) == pytest.approx(bert.predict(cached, inputs), abs=1e-5)
    fresh = bert.predict(bert.load_model(kind, folder), inputs)
    assert np.abs(bert.predict(whole, inputs) - fresh).max() > 1e-3, "it trains at all"


def test_cached_activations_for_a_token_classifier(folder, tokenizer):
    lines = [entities.tag_words([("江泽民", "nr"), ("在", "p"), ("北京", "ns")])] * 4
    inputs, tags = entities.encode_tags(tokenizer, lines, 16)
    losses = []
    for cached in (0, 2):
        model = bert.load_model(BertForTokenClassification, folder, num_labels=7)
        freeze(model, 2)
        part, states = layers.above(model, inputs, cached)
        losses.append(bert.fine_tune(part, states, tags, steps=4, learning_rate=1e-2).loss)
    assert losses[0] == pytest.approx(losses[1], abs=1e-5)


def test_frozen_layers_keep_their_weights_and_have_no_dropout(folder, data):
    model = bert.load_model(BertMeanClassifier, folder)
    before = {name: value.clone() for name, value in model.named_parameters()}
    freeze(model, 2)
    bert.fine_tune(model, *data, steps=2, learning_rate=1e-2)
    for name, value in model.named_parameters():
        low = name.startswith(("bert.embeddings", "bert.encoder.layer.0.", "bert.encoder.layer.1."))
        assert torch.equal(value, before[name]) == low, name
    tuning._training_mode(model)
    assert not any(m.training for m in model.bert.encoder.layer[1].modules())
    assert all(m.training for m in model.bert.encoder.layer[2].modules())
    for cut in (freeze, layers.upper_part):
        with pytest.raises(ValueError, match="at most 3; got 4"):
            cut(model, 4)
    with pytest.raises(ValueError, match="at most 3; got 4"):
        layers.frozen_states(model, data[0], 4)


@pytest.mark.parametrize("method", layers.TUNING_METHODS)
def test_methods_train_what_they_say(method, folder, data):
    model = bert.load_model(BertForSequenceClassification, folder)
    trained = layers.choose_method(model, method)
    names = {name for name, value in model.named_parameters() if value.requires_grad}
    inside = {name for name in names if "encoder" in name}
    assert any("classifier" in name for name in names)
    assert any("pooler" in name for name in names)
    if method == "full":
        assert layers.trainable_share(trained) == 1
    elif method == "head":
        assert not inside
    elif method == "last layer":
        assert inside
        assert all(".layer.2." in name for name in inside)
    elif method == "BitFit":
        assert len(inside) == 3 * 8
        assert all(name.endswith("bias") for name in inside)
    else:
        assert len(inside) == 3 * 2 * 2
        assert all("lora" in name for name in inside)
    inputs, labels = data
    loss = bert.fine_tune(trained, inputs, labels, steps=8, learning_rate=3e-2).loss
    assert len(loss) == 8
    assert all(map(math.isfinite, loss))
    assert bert.predict(trained, inputs).shape == (12, 2)


def test_methods_and_inputs_that_do_not_fit(folder, data):
    model = bert.load_model(BertMeanClassifier, folder)
    with pytest.raises(ValueError, match="method must be one of"):
        layers.choose_method(model, "magic")
    with pytest.raises(ValueError, match="go with the method 'full'"):
        layers.choose_method(model, "LoRA", 2)
    inputs, labels = data
    with pytest.raises(ValueError, match="same number of rows"):
        bert.fine_tune(model, inputs, labels[:3], steps=1, learning_rate=1e-3)
    with pytest.raises(ValueError, match="the loss became"):
        bert.fine_tune(model, inputs, labels, steps=3, learning_rate=1e38, warmup=0.0)
    with pytest.raises(ValueError, match="at least 1 text"):
        bert.encode(None, [], 8)


# Looking inside.


def test_filling_blanks(folder, tokenizer):
    model = bert.load_model(BertForPreTraining, folder)
    found = inspection.fill_mask(model, tokenizer, "这本_很[MASK]。", 3)
    assert [len(guesses) for guesses in found] == [3, 3]
    for guesses in found:
        values = [value for _, value in guesses]
        assert values == sorted(values, reverse=True)
        assert not any(piece.startswith("[") for piece, _ in guesses)
    assert found == inspection.fill_mask(model, tokenizer, "这本_很_。", 3)
    for text, words in (
        ("", "empty"),
        ("好" * 121, "at most 120"),
        ("㍿" * 40 + "_", "161 characters"),  # each of them is short for four
        ("没有", "no blank"),
    ):
        with pytest.raises(ValueError, match=words):
            inspection.fill_mask(model, tokenizer, text)


def test_attention_maps_need_the_eager_kernels(folder, tokenizer):
    model = bert.load_model(BertModel, folder, attn_implementation="eager")
    pieces, weights = inspection.attention_maps(model, tokenizer, "这本书很好")
    assert pieces == ["[CLS]", *"这本书很好", "[SEP]"]
    assert weights.shape == (3, 2, 7, 7)
    assert weights.sum(-1) == pytest.approx(np.ones((3, 2, 7)), abs=1e-5)
    with pytest.raises(ValueError, match="eager"):
        inspection.attention_maps(bert.load_model(BertModel, folder), tokenizer, "这本书很好")


def test_attributions_add_up_to_the_difference_of_the_logits(folder, tokenizer):
    model = bert.load_model(BertMeanClassifier, folder)
    with torch.no_grad():
        model.classifier.weight.mul_(30)
    pieces, scores, gap = inspection.attributions(model, tokenizer, "这本书很好", 1, steps=64)
    ids = tokenizer("这本书很好", return_tensors="pt")
    blank = {
        **ids,
        "input_ids": torch.where(
            torch.isin(ids["input_ids"], torch.tensor([2, 3])), ids["input_ids"], 0
        ),
    }
    with torch.no_grad():
        difference = float((model(**ids).logits - model(**blank).logits)[0, 1])
    assert len(pieces) == len(scores)
    assert float(scores.sum()) == pytest.approx(difference, abs=0.05 * abs(difference) + 1e-3)
    assert gap == pytest.approx(float(scores.sum()) - difference, abs=1e-3)


# Entities.


def test_tagged_lines_of_the_news():
    lines = entities.load_entities("validation")
    assert len(lines) > 500
    for line in lines:
        assert len(line.characters) == len(line.tags)
        assert set(line.tags) <= set(entities.TAGS)
        for before, tag in zip(("O", *line.tags), line.tags, strict=False):
            if tag.startswith("I-"):
                assert before[2:] == tag[2:], "an entity begins with B"


def test_an_unknown_split_of_the_lines_is_told():
    with pytest.raises(ValueError, match=r"split must be one of .*'validation'.* got 'dev'"):
        entities.load_entities("dev")


def test_tags_that_cannot_be_encoded(tokenizer):
    line = entities.tag_words([("江", "nr"), ("泽民", "nr"), ("在", "p")])
    assert entities.encode_tags(tokenizer, [line], 3)[1].tolist() == [[-100, 1, -100]]
    for length in (2, 1, 0, -4):
        with pytest.raises(ValueError, match="max_length must be a whole number, at least 3"):
            entities.encode_tags(tokenizer, [line], length)
    for texts in (line, ["江泽民"]):
        with pytest.raises(TypeError, match="texts must be a list of TaggedText"):
            entities.encode_tags(tokenizer, texts, 8)
    with pytest.raises(ValueError, match="at least 1 text"):
        entities.encode_tags(tokenizer, [], 8)


def test_right_tags_have_f1_one_and_half_an_entity_none(tokenizer):
    line = entities.tag_words([("江", "nr"), ("泽民", "nr"), ("在", "p"), ("北京", "ns")])
    inputs, tags = entities.encode_tags(tokenizer, [line, line], 8)
    assert tags[0].tolist() == [-100, 1, 2, 2, 0, 3, 4, -100]

    class Says(torch.nn.Module):
        def __init__(self, said):
            super().__init__()
            self.said = said

        def forward(self, input_ids, attention_mask):
            numbers = self.said.clamp(min=0)[: len(input_ids), : input_ids.shape[1]]
            return type("Output", (), {"logits": torch.nn.functional.one_hot(numbers, 7)})

    assert entities.entity_scores(Says(tags), inputs, tags)["entity_f1"] == 1
    cut = tags.clone()
    cut[:, 3] = 0  # 江泽 without 民
    found = entities.entity_scores(Says(cut), inputs, tags)
    assert found["entity_f1"] == pytest.approx(0.5)
    assert found["tag_accuracy"] == pytest.approx(5 / 6)


# Checkpoints that are not there, threads, and what does not fit.


def test_a_mistyped_checkpoint_is_told_at_once(monkeypatch, tmp_path, tokenizer, folder):
    import huggingface_hub

    def no_network(*args, **options):
        raise huggingface_hub.errors.LocalEntryNotFoundError("no network")

    monkeypatch.setattr(huggingface_hub, "snapshot_download", no_network)
    for load in (bert.load_tokenizer, lambda name: bert.load_model(BertMeanClassifier, name)):
        with pytest.raises(ValueError, match="did you mean 'minilm'"):
            load("minlm")
        with pytest.raises(ValueError, match="did you mean 'google-bert/bert-base-uncased'"):
            load("bert-base-uncased")
        with pytest.raises(FileNotFoundError, match="network, or give a folder that holds"):
            load("nobody/nothing")
        with pytest.raises(TypeError, match="name must be a text or a path"):
            load(3)
    asked = {}

    def fetched(name, **options):
        asked[name] = options["allow_patterns"]
        return folder

    monkeypatch.setattr(huggingface_hub, "snapshot_download", fetched)
    assert len(bert.load_tokenizer("some/bert")) == len(tokenizer)
    assert "*.safetensors" not in asked["some/bert"]
    assert bert.load_model(BertMeanClassifier, "some/bert").config.hidden_size == 16
    assert "*.safetensors" in asked["some/bert"]
    (tmp_path / "config.json").write_text('{"model_type": "bert"}')
    monkeypatch.setattr(huggingface_hub, "snapshot_download", lambda *a, **b: str(tmp_path))
    with pytest.raises(FileNotFoundError, match="no weights as safetensors"):
        bert.load_model(BertMeanClassifier, "some/bert")


def test_a_folder_without_its_vocabulary_is_refused(tmp_path, folder):
    (tmp_path / "config.json").write_text('{"model_type": "bert", "vocab_size": 9}')
    with pytest.raises(ValueError, match=r"no vocabulary, neither vocab\.txt nor tokenizer\.json"):
        bert.load_tokenizer(str(tmp_path))
    (tmp_path / "vocab.txt").write_text("\n".join(masking.SPECIAL))
    with pytest.raises(ValueError, match="5 of them special"):
        bert.load_tokenizer(tmp_path)
    (tmp_path / "vocab.txt").write_text("\n".join([*masking.SPECIAL, *"abcdefgh"]))
    with pytest.raises(ValueError, match="13 pieces and the model knows 9"):
        bert.load_tokenizer(tmp_path)
    (tmp_path / "vocab.txt").write_text("\n".join([*masking.SPECIAL, *"abcd"]))
    assert len(bert.load_tokenizer(tmp_path)) == 9
    assert bert.load_tokenizer(folder).tokenize("书") == ["书"]


def test_fine_tuning_and_loading_are_their_own_streams(folder, data):
    inputs, labels = data

    def run(seed, method="full", **options):
        model = bert.load_model(BertForSequenceClassification, folder, seed=seed)
        torch.rand(seed)  # what a cell beside it may draw
        model = layers.choose_method(model, method)
        return bert.fine_tune(
            model, inputs, labels, steps=5, learning_rate=1e-2, seed=seed, **options
        ).loss

    before = torch.get_rng_state()
    bert.load_model(BertMeanClassifier, folder)
    masking.masked_batches(_documents(masking.build_tokenizer(TEXTS, 1)), bert.load_tokenizer(folder), 4, 24)  # fmt: skip
    assert torch.equal(torch.get_rng_state(), before)
    alone, other, inside = run(1), run(2), []
    assert run(1, progress=lambda share: inside or inside.append(run(2))) == alone
    assert inside == [other]
    lora = run(1, "LoRA")
    torch.manual_seed(99)
    assert run(1, "LoRA") == lora


def test_pretraining_is_its_own_stream(tokenizer):
    alone, inside = _pretrained(tokenizer, 8)[1].parts["mlm"], []

    def other(share):
        if not inside:
            inside.append(_pretrained(tokenizer, 6)[1].parts["mlm"])

    assert _pretrained(tokenizer, 8, progress=other)[1].parts["mlm"] == alone
    model = BertForPreTraining(BertConfig(vocab_size=len(tokenizer), **SHAPE))
    before = torch.get_rng_state()
    pretraining.pretrain(
        model, _documents(tokenizer), tokenizer, stages=[(2, 4, 16)], learning_rate=1e-3, warmup=1
    )
    assert torch.equal(torch.get_rng_state(), before)


def test_a_state_goes_by_path_and_must_not_be_longer_than_the_stages(tokenizer, tmp_path):
    state = str(tmp_path / "state.safetensors")
    _pretrained(tokenizer, 8, state=state, keep_every=2)
    with pytest.raises(ValueError, match="holds 8 steps and the stages have 6"):
        _pretrained(tokenizer, 6, state=state)
    assert len(_pretrained(tokenizer, 8, state=state)[1].parts["mlm"]) == 8


def test_pretraining_refuses_settings_out_of_range(tokenizer):
    for options, words in (
        ({"stages": []}, "stages must be triples"),
        ({"stages": [(0, 4, 16)]}, "steps of the stage"),
        ({"learning_rate": -1}, "learning_rate must be above 0"),
        ({"warmup": -1}, "warmup must be"),
        ({"keep_every": 0}, "keep_every must be"),
    ):
        model = BertForPreTraining(BertConfig(vocab_size=len(tokenizer), **SHAPE))
        plain = {"stages": [(2, 4, 16)], "learning_rate": 1e-3, "warmup": 1}
        with pytest.raises(ValueError, match=words):
            pretraining.pretrain(model, _documents(tokenizer), tokenizer, **{**plain, **options})
    model.requires_grad_(False)
    with pytest.raises(ValueError, match="nothing trains"):
        pretraining.pretrain(model, _documents(tokenizer), tokenizer, **plain)
    with pytest.raises(TypeError, match="put it into a list"):
        masking.build_tokenizer("这本书很好")
    with pytest.raises(TypeError, match="put it into a list"):
        masking.encode_documents("这本书很好", tokenizer)
    with pytest.raises(ValueError, match="split must be one of"):
        masking.load_documents("dev")


def test_texts_and_lengths_that_do_not_fit(tokenizer, folder):
    with pytest.raises(TypeError, match="put it into a list"):
        bert.encode(tokenizer, "这本书很好", 16)
    wanted = bert.encode(tokenizer, TEXTS, 16)["input_ids"]
    for texts in (tuple(TEXTS), pd.Series(TEXTS, index=range(5, 17)), np.array(TEXTS)):
        assert torch.equal(bert.encode(tokenizer, texts, 16)["input_ids"], wanted)
    assert bert.encode(tokenizer, TEXTS, 3)["input_ids"].shape == (12, 3)
    model = bert.load_model(BertModel, folder, attn_implementation="eager")
    for call in (
        lambda: bert.encode(tokenizer, TEXTS, 1),
        lambda: inspection.attention_maps(model, tokenizer, "这本书很好", 1),
    ):
        with pytest.raises(ValueError, match="max_length must be a whole number, at least 3"):
            call()
    with pytest.raises(TypeError, match="the text must be one text"):
        inspection.check_sentence(["这本书很好"])
    for top in (0, 999):
        with pytest.raises(ValueError, match="top must be"):
            inspection.fill_mask(model, tokenizer, "_", top)


def test_fine_tuning_says_what_does_not_fit(folder, data):
    inputs, labels = data
    options = {"steps": 2, "learning_rate": 1e-3}
    model = bert.load_model(BertMeanClassifier, folder)
    for classes in (labels.tolist(), labels.numpy(), labels):
        assert len(bert.fine_tune(model, inputs, classes, **options).loss) == 2
    with pytest.raises(ValueError, match=r"class numbers 0 … 1, got \[1, 2\]"):
        bert.fine_tune(model, inputs, labels + 1, **options)
    for change, words in (
        ({"steps": 0}, "steps must be"),
        ({"batch_size": 0}, "batch_size must be"),
        ({"learning_rate": -1}, "learning_rate must be above 0"),
        ({"warmup": 1.5}, "warmup must lie between 0 and 1"),
    ):
        with pytest.raises(ValueError, match=words):
            bert.fine_tune(model, inputs, labels, **{**options, **change})
    other = {**inputs, "input_ids": inputs["input_ids"] + 5000}
    for call in (
        lambda: bert.fine_tune(model, other, labels, **options),
        lambda: bert.predict(model, other),
        lambda: layers.frozen_states(model, other, 1),
    ):
        with pytest.raises(ValueError, match="with the tokenizer of the model's checkpoint"):
            call()
    long = {name: values.repeat(1, 5) for name, values in inputs.items()}
    with pytest.raises(ValueError, match="max_length=64"):
        bert.predict(model, long)
    upper, states = layers.above(model, inputs, 2)
    with pytest.raises(ValueError, match="go into upper_part"):
        bert.predict(model, states)
    with pytest.raises(ValueError, match="inputs_embeds must be finite"):
        bert.fine_tune(
            upper, {**states, "inputs_embeds": states["inputs_embeds"] * np.nan}, labels, **options
        )
    with pytest.raises(ValueError, match="nothing trains"):
        bert.fine_tune(model.requires_grad_(False), inputs, labels, **options)
    assert torch.equal(take(inputs, labels == 1)["input_ids"], take(inputs, np.flatnonzero(labels.numpy()))["input_ids"])  # fmt: skip
    for rows in ([], labels > 5):
        with pytest.raises(ValueError, match="choose at least one"):
            take(inputs, rows)
    with pytest.raises(IndexError, match="rows must lie"):
        take(inputs, [99])


def test_attention_takes_a_mask_of_0_and_1_and_says_what_it_does_not_take():
    Q = torch.eye(3)
    mask = torch.tensor([[True, False, True]] * 3)
    assert torch.equal(attention(Q, Q, Q, mask.long())[1], attention(Q, Q, Q, mask)[1])
    for bad in (1, mask.float(), mask.long() * 2, mask.numpy()):
        with pytest.raises(TypeError, match="mask must be"):
            attention(Q, Q, Q, bad)
    with pytest.raises(TypeError, match="query must be a tensor"):
        attention(Q.numpy(), Q, Q)


def test_attributions_ask_for_a_class_that_there_is(folder, tokenizer):
    model = bert.load_model(BertMeanClassifier, folder)
    with pytest.raises(ValueError, match="label must be a whole number, at least 0, at most 1"):
        inspection.attributions(model, tokenizer, "这本书很好", 2)
