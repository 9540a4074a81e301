"""A quiz at a lesson's end: three questions, each answer explained."""

from __future__ import annotations

import html
from typing import Any

import ipywidgets as widgets

from tlcourse.checks import questions
from tlcourse.notices import message_html
from tlcourse.widgets.tidying import TidyBox


class Quiz(TidyBox):
    """The questions of a lesson as radio buttons, with an explanation for every choice."""

    def __init__(self, lesson: str) -> None:
        self.questions = questions(lesson)
        self.choices: list[widgets.RadioButtons] = []
        self._first: dict[int, bool] = {}
        self._said = [widgets.HTML() for _ in self.questions]
        self._score = widgets.HTML()
        parts: list[Any] = []
        for number, question in enumerate(self.questions):
            choice = widgets.RadioButtons(
                options=[text for text, _ in question.options],
                value=None,
                description=f"Question {number + 1}",
                layout={"width": "auto"},
            )
            choice.observe(lambda change, number=number: self._explain(number), "index")
            self.choices.append(choice)
            title = widgets.HTML(f"<b>{number + 1}. {html.escape(question.text)}</b>")
            parts += [title, choice, self._said[number]]
        super().__init__([*parts, self._score], layout={"max_width": "900px"})
        self._count()
        self.replace_earlier()

    @property
    def score(self) -> str:
        """How many were right at the first try, of those answered so far."""
        right, answered, total = sum(self._first.values()), len(self._first), len(self.questions)
        if answered < total:
            return f"{answered} of {total} answered, {right} right at the first try"
        return f"{right} of {total} right at the first try"

    def _explain(self, number: int) -> None:
        question, chosen = self.questions[number], self.choices[number].index
        if chosen is None:
            self._said[number].value = ""
            return
        right = chosen == question.right
        self._first.setdefault(number, right)
        text = question.options[chosen][1]
        self._said[number].value = message_html(text, "right" if right else "wrong")
        self._count()

    def _count(self) -> None:
        self._score.value = f'<p role="status">{html.escape(self.score)}</p>'

    def _repr_mimebundle_(self, **kwargs: Any) -> dict[str, Any]:
        bundle = super()._repr_mimebundle_(**kwargs) or {}
        data = bundle[0] if isinstance(bundle, tuple) else bundle
        data["text/plain"] = "\n".join(
            f"{number}. {question.text}\n"
            + "\n".join(f"   ( ) {text}" for text, _ in question.options)
            for number, question in enumerate(self.questions, start=1)
        )
        return data
