"""A quiz at a lesson's end: three questions, each answer explained."""

from __future__ import annotations

import html
from typing import Any

import ipywidgets as widgets

from tlcourse.exercises import questions
from tlcourse.exercises.engine import Question


class Quiz(widgets.VBox):
    """The questions of a lesson as radio buttons, with an explanation for every choice."""

    def __init__(self, lesson: str) -> None:
        self.questions = questions(lesson)
        self.choices = []
        parts: list[Any] = []
        for number, question in enumerate(self.questions, start=1):
            choice = widgets.RadioButtons(
                options=[text for text, _ in question.options],
                value=None,
                description=f"Question {number}",
                layout={"width": "auto"},
            )
            said = widgets.HTML()
            choice.observe(_explain(question, said), "index")
            self.choices.append(choice)
            parts += [widgets.HTML(f"<b>{number}. {html.escape(question.text)}</b>"), choice, said]
        super().__init__(parts, layout={"max_width": "900px"})

    def _repr_mimebundle_(self, **kwargs: Any) -> dict[str, Any]:
        bundle = super()._repr_mimebundle_(**kwargs) or {}
        data = bundle[0] if isinstance(bundle, tuple) else bundle
        data["text/plain"] = "\n".join(
            f"{number}. {question.text}\n"
            + "\n".join(f"   ( ) {text}" for text, _ in question.options)
            for number, question in enumerate(self.questions, start=1)
        )
        return data


def _explain(question: Question, said: widgets.HTML) -> Any:
    def show(change: Any) -> None:
        if change["new"] is None:
            said.value = ""
            return
        right = change["new"] == question.right
        text = html.escape(question.options[change["new"]][1])
        mark = "✓" if right else "✗"
        said.value = (
            f'<div role="status" class="alert alert-{"success" if right else "warning"}">'
            f"{mark} {text}</div>"
        )

    return show
