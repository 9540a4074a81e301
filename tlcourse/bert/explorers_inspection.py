"""Lesson 5's explorers of typed text: fill the mask, and where each piece looks."""

from __future__ import annotations

import textwrap
from functools import lru_cache
from typing import Any, NamedTuple

import numpy as np
from matplotlib.colors import PowerNorm
from matplotlib.figure import Figure
from transformers import BertForPreTraining, BertModel, PreTrainedTokenizerBase

from tlcourse import bert
from tlcourse.bert.inspection import attention_maps, fill_mask
from tlcourse.data.dictionary import gloss
from tlcourse.widgets import figures
from tlcourse.widgets.controls import choice, field, menu
from tlcourse.widgets.explorer import Explorer, Result

MOST_BLANKS = 3
EVERY_HEAD = "mean"


class Model(NamedTuple):
    """A model to look into, and a sentence that it can read."""

    name: str
    layers: int
    heads: int
    sentence: str


MODELS = {
    "MiniLM (English)": Model("minilm", 6, 12, "The plot was thin, but the actors saved it."),
    "own BERT (Chinese)": Model("bert-zh", 4, 4, "这本书的内容很好，但是送货太慢了。"),
}


@lru_cache(maxsize=1)
def _filler() -> BertForPreTraining:
    return bert.load_model(BertForPreTraining, "bert-zh")


@lru_cache(maxsize=2)
def _tokenizer(name: str) -> PreTrainedTokenizerBase:
    return bert.load_tokenizer(name)


@lru_cache(maxsize=2)
def _reader(name: str) -> BertModel:
    return bert.load_model(BertModel, name, attn_implementation="eager")


def _labels(pieces: list[str]) -> list[tuple[str, dict[str, Any]]]:
    """Pieces as labels with their fonts; a gloss only where no font has Chinese characters.

    A single character's gloss often misleads.
    """
    glossed = not figures.cjk_font()
    return [figures.word_label(piece, gloss(piece) if glossed else "") for piece in pieces]


class FillMask(Explorer):
    """Type a Chinese sentence with blanks; the own BERT fills them in."""

    name = "fill the mask"
    size = (8.0, 2.6)

    def __init__(self, **settings: object) -> None:
        controls = {
            "text": field("sentence with [MASK] or _", "这本书的内_很丰富。"),
            "top": choice("guesses shown", (3, 5, 8), 5),
        }
        super().__init__(controls, **settings)

    def compute(self, text: str, top: int) -> Result:
        """The likeliest characters at each blank."""
        if text.strip() and not any("\u4e00" <= character <= "\u9fff" for character in text):
            raise ValueError("the own BERT reads Chinese only; type Chinese characters and blanks")
        found = fill_mask(_filler(), _tokenizer("bert-zh"), text, top)
        if len(found) > MOST_BLANKS:
            raise ValueError(f"the text has {len(found)} blanks; at most {MOST_BLANKS} are shown")
        return {"found": found}

    def draw(self, figure: Figure, result: Result, live: Result | None) -> None:
        """Bars for each blank."""
        panels = figure.subplots(1, len(result["found"]), squeeze=False)[0]
        figure.subplots_adjust(left=0.08, right=0.97, bottom=0.05, top=0.88, wspace=0.3)
        for number, (axes, guesses) in enumerate(zip(panels, result["found"], strict=True), 1):
            figures.tidy(axes, f"blank {number}: probability")
            labels = _labels([piece for piece, _ in guesses])
            values = [value for _, value in guesses]
            axes.barh(range(len(values)), values, color=figures.COLOURS[0], height=0.7)
            axes.set_yticks(range(len(values)), [text for text, _ in labels])
            for tick, (_, font) in zip(axes.get_yticklabels(), labels, strict=True):
                tick.set(**font)
            for place, value in enumerate(values):
                axes.text(value, place, f" {value:.2f}", va="center", fontsize=8)
            axes.set_xlim(0, max(1.25 * max(values), 0.01))
            axes.set_xticks([])
            axes.invert_yaxis()

    def describe(self, result: Result, live: Result | None) -> str:
        """The guesses in words."""
        parts = [
            f"blank {number}: " + ", ".join(f"{piece} {value:.2f}" for piece, value in guesses)
            for number, guesses in enumerate(result["found"], start=1)
        ]
        return f"The own BERT's likeliest characters: {'; '.join(parts)}."

    def code(self, text: str, top: int) -> str:
        """Fill the blanks."""
        return textwrap.dedent(f"""\
            from transformers import BertForPreTraining

            from tlcourse.bert import load_model, load_tokenizer
            from tlcourse.bert.inspection import fill_mask

            model = load_model(BertForPreTraining, "bert-zh")
            result = fill_mask(model, load_tokenizer("bert-zh"), {text!r}, {top})
            print(result)
            """)


def _layers_and_heads(model: Model) -> tuple[list[int], list[str | int]]:
    return list(range(1, model.layers + 1)), [EVERY_HEAD, *range(1, model.heads + 1)]


class AttentionViewer(Explorer):
    """Type a sentence and see where each piece looks, layer by layer and head by head."""

    name = "attention viewer"
    size = (8.0, 4.6)

    def __init__(self, **settings: object) -> None:
        name, first = next(iter(MODELS.items()))
        layers, heads = _layers_and_heads(first)
        controls = {
            "model": menu("model", tuple(MODELS), name),
            "text": field("sentence", first.sentence),
            "layer": choice("layer", layers, 1),
            "head": choice("attention head", heads, EVERY_HEAD),
        }
        controls["model"].observe(self._follow_model, "value")
        super().__init__(controls, **settings)

    def _follow_model(self, change: Any) -> None:
        """Offer what the model has; its own sentence, unless the reader typed one."""
        model, text = MODELS[change["new"]], self.controls["text"]
        limits = _layers_and_heads(model)
        offered: dict[str, list[Any]] = dict(zip(("layer", "head"), limits, strict=True))
        for name, values in offered.items():
            value = self.controls[name].value
            self.relimit(name, values, value if value in values else values[0])
        if any(text.value == known.sentence for known in MODELS.values()):
            with self.hushed():
                text.value = model.sentence

    def compute(self, model: str, text: str, layer: int, head: str | int) -> Result:
        """The chosen weights (length, length) and the pieces."""
        name = MODELS[model].name
        pieces, weights = attention_maps(_reader(name), _tokenizer(name), text)
        layers, heads = weights.shape[:2]
        if layer > layers or (head != EVERY_HEAD and int(head) > heads):
            raise ValueError(f"{model} has {layers} layers with {heads} heads each")
        chosen = weights[layer - 1]
        chosen = chosen.mean(0) if head == EVERY_HEAD else chosen[int(head) - 1]
        return {
            "pieces": pieces, "weights": chosen, "layer": layer, "head": head,
            "unread": len(_tokenizer(name).tokenize(text)) + 2 - len(pieces),
        }  # fmt: skip

    def draw(self, figure: Figure, result: Result, live: Result | None) -> None:
        """The weights as a matrix: rows look at columns."""
        axes = figure.subplots()
        figure.subplots_adjust(left=0.14, right=0.96, bottom=0.2, top=0.92)
        which = "mean of the heads" if result["head"] == EVERY_HEAD else f"head {result['head']}"
        axes.set_title(
            f"layer {result['layer']}, {which}: a row looks at the columns", fontsize=10, loc="left"
        )
        # Shades by the root: a mean of many heads has no large weights.
        shown = axes.imshow(
            result["weights"], cmap="Blues", norm=PowerNorm(0.5, 0, 1), aspect="auto"
        )
        labels = _labels(result["pieces"])
        places, texts = range(len(labels)), [text for text, _ in labels]
        axes.set_xticks(places, texts, fontsize=8, rotation=60, ha="right", rotation_mode="anchor")
        row = axes.get_window_extent().height / len(texts) * 72 / figure.dpi  # in points
        axes.set_yticks(places, texts, fontsize=min(8.0, 0.85 * row))
        for ticks in (axes.get_xticklabels(), axes.get_yticklabels()):
            for tick, (_, font) in zip(ticks, labels, strict=True):
                tick.set(**font)
        figure.colorbar(shown, ax=axes, fraction=0.03, pad=0.02).ax.tick_params(labelsize=8)

    def describe(self, result: Result, live: Result | None) -> str:
        """The strongest link between words, and how much goes to the special pieces."""
        pieces, weights = result["pieces"], result["weights"]
        special = np.array([piece in {"[CLS]", "[SEP]"} for piece in pieces])
        which = "all heads" if result["head"] == EVERY_HEAD else f"head {result['head']}"
        share = weights[:, special].sum(1).mean()
        text = (
            f"Layer {result['layer']}, {which}: {len(pieces)} pieces give {share:.2f} of their "
            "attention to [CLS] and [SEP]"
        )
        words = np.where(special[:, None] | special[None, :], -1.0, weights)
        if not special.all():
            row, column = np.unravel_index(words.argmax(), words.shape)
            text += (
                f"; the strongest link between other pieces is {pieces[row]} → {pieces[column]}, "
                f"{words.max():.2f}"
            )
        text += "."
        if result["unread"]:
            text += f" The last {result['unread']} pieces of the sentence are left out."
        if "[UNK]" in pieces:
            text += " [UNK] is a character that this model does not know; is it the right model?"
        return text

    def code(self, model: str, text: str, layer: int, head: str | int) -> str:
        """The weights."""
        which = ".mean(0)" if head == EVERY_HEAD else f"[{int(head) - 1}]"
        name = MODELS[model].name
        return textwrap.dedent(f"""\
            from transformers import BertModel

            from tlcourse.bert import load_model, load_tokenizer
            from tlcourse.bert.inspection import attention_maps

            model = load_model(BertModel, {name!r}, attn_implementation="eager")
            pieces, weights = attention_maps(model, load_tokenizer({name!r}), {text!r})
            result = weights[{layer - 1}]{which}
            print(pieces)
            print(result.round(2))
            """)
