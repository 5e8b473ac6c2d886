"""The headline picture: what a lookup adds, design by design, for each of the four users."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from cgsim.experiments.places_of_use import get_user
from cgsim.report import advice
from cgsim.report.figure import new_figure, style_of, styled
from cgsim.report.sentences import join_names

if TYPE_CHECKING:
    from collections.abc import Mapping

    from matplotlib.figure import Figure

_SHOWN = 7


def headline(answers: Mapping[str, dict[str, Any]]) -> Figure:
    """A panel per user, each with its own designs and scale; bars are 90 % intervals."""
    with styled():
        figure, panels = new_figure(5.2, 2, 2)
        for axes, answer in zip(panels, answers.values(), strict=False):
            rows = advice.usable(answer)[:_SHOWN]
            for number, row in enumerate(rows):
                chosen = row["design"] == answer["recommended"]
                axes.barh(number, row["ns"], color=style_of(row["design"]).colour, height=0.6,
                          edgecolor="#000000", linewidth=1.6 if chosen else 0.0)  # fmt: skip
                axes.plot([row["low"], row["high"]], [number, number], color="#555555")
            axes.set_yticks(range(len(rows)), [row["design"] for row in rows])
            axes.invert_yaxis()
            axes.set(title=f"{answer['user']} ({get_user(answer['user']).family})")
            machine = answer["machine"]
            workload, sizes = advice.place(answer).split(", ", 1)
            axes.set_xlabel(f"ns a lookup adds; {machine}, {workload}\n{sizes}", fontsize=7)
        for axes in panels[len(answers) :]:
            axes.set_axis_off()
    return figure


def headline_alt(answers: Mapping[str, dict[str, Any]]) -> str:
    """The picture in words: the recommended design of each user, with its interval."""
    said = []
    for answer in answers.values():
        row = advice.row_of(answer, answer["recommended"])
        low, high = advice.ns(row["low"]), advice.ns(row["high"])
        said.append(
            f"{answer['user']}: {row['design']} {advice.ns(row['ns'])} ns ({low} to {high})"
        )
    return f"What a lookup adds on {next(iter(answers.values()))['machine']}, {join_names(said)}."


def headline_caption(answers: Mapping[str, dict[str, Any]]) -> str:
    """Of which machine, sizes and seeds each panel is."""
    return "; ".join(
        f"{user}: {answer['machine']}, {advice.place(answer)}" for user, answer in answers.items()
    )
