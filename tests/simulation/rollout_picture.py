"""The picture of a day of a rollout. Nothing else needs matplotlib (the extra `plot`)."""

from __future__ import annotations

import re
from itertools import pairwise
from pathlib import Path
from typing import Any

import matplotlib as mpl
from matplotlib import pyplot as plt
from matplotlib.ticker import FuncFormatter, MultipleLocator, PercentFormatter
from PIL import Image

from fleetd.core.fallback import Phase
from tests.simulation.rollout_day import HOUR, MINUTE, NEW, OLD, RULES, SECOND, Played, Trouble

OLD_COLOUR, NEW_COLOUR, SHADOW_COLOUR = "#b8c1cb", "#2b6cb0", "#f6ad2e"
DWELL_COLOUR = "#553c9a"
PHASES = {Phase.NORMAL: "#c6e7cf", Phase.FALLBACK: "#e57373", Phase.TRIAL: "#f6c453"}
TROUBLE = "#f3e9e4"
RED = "#9b2c2c"
COLOURS = 160
"""Of the picture: a third of its size with all of them."""
BIN = 4
"""Points of the shares that are taken together: 4 min."""


def draw(played: Played, path: Path) -> None:
    """Draw what happened: shares, error rates, latencies, phases and their dwells, and the two fallbacks from nearby."""
    mpl.use("Agg")
    plt.rcParams.update(
        {"font.size": 9, "font.family": "DejaVu Sans", "axes.spines.top": False, "axes.spines.right": False}
    )
    figure = plt.figure(figsize=(13, 12), layout="constrained")
    grid = figure.add_gridspec(5, 2, height_ratios=(3, 1.8, 1.8, 2.6, 1.1))
    rows = [figure.add_subplot(grid[0, :])]
    rows += [figure.add_subplot(grid[row, :], sharex=rows[0]) for row in (1, 2, 3)]
    figure.suptitle(
        f"A day of a rollout from {OLD} to {NEW}: {played.requests:,} decisions in {played.script.hours:g} virtual hours",
        fontsize=13,
        fontweight="bold",
    )
    for axes, fill in zip(rows, (_draw_shares, _draw_errors, _draw_latencies, _draw_dwells), strict=True):
        fill(axes, played)
        axes.set_xlim(0, played.script.hours)
        for trouble in played.script.troubles:
            axes.axvspan(trouble.begin, trouble.end, color=TROUBLE, zorder=0, linewidth=0)
    rows[-1].xaxis.set_major_locator(MultipleLocator(2))
    rows[-1].xaxis.set_major_formatter(FuncFormatter(_clock))
    near = [trouble for trouble in played.script.troubles if trouble.blamed]
    for column, trouble in enumerate(near):
        _draw_near(figure.add_subplot(grid[4, column]), played, trouble)
    figure.savefig(path, dpi=100)
    plt.close(figure)
    with Image.open(path) as picture:
        small = picture.convert("RGB").quantize(COLOURS)
    small.save(path, optimize=True)


def _clock(hour: float, _: Any = None) -> str:
    minutes = round(hour * 60)
    return f"{minutes // 60:02d}:{minutes % 60:02d}"


def _hours(played: Played) -> list[float]:
    return [point.at / HOUR for point in played.points]


def _draw_shares(axes: Any, played: Played) -> None:
    points = played.points
    bins = [points[at : at + BIN] for at in range(0, len(points), BIN)]
    hours = [group[0].at / HOUR for group in bins]
    new = []
    for group in bins:
        count = sum(point.modes[NEW] for point in group)
        new.append(count / max(1, sum(point.modes.total() for point in group)))
    colours = (NEW_COLOUR, OLD_COLOUR)
    axes.stackplot(
        hours,
        new,
        [1 - share for share in new],
        colors=colours,
        labels=(f"new mode: {NEW}", f"old mode: {OLD}"),
    )
    axes.set_ylim(0, 1)
    axes.yaxis.set_major_formatter(PercentFormatter(1))
    axes.set_ylabel("share of decisions")
    right = axes.twinx()
    shadows = [max(point.most_shadows for point in group) for group in bins]
    right.plot(
        hours, shadows, color=SHADOW_COLOUR, linewidth=1.3, label="shadows at once (right; never above 10)"
    )
    right.set_ylim(0, 20)
    right.set_yticks((0, 5, 10))
    right.set_ylabel("shadows", color="#8a6410", loc="bottom")
    handles = axes.get_legend_handles_labels()[0] + right.get_legend_handles_labels()[0]
    axes.legend(
        handles=handles, loc="lower left", bbox_to_anchor=(0, 1.2), ncols=3, frameon=False, borderaxespad=0
    )
    for act in played.script.acts:
        axes.axvline(act.hour, color="black", linewidth=0.8, linestyle=":")
        words = act.words.replace(", ", ",\n").replace(": ", ":\n")
        on_blue = played.share(act.hour, act.hour + 0.25) > 0.9
        axes.text(act.hour + 0.08, 0.97, words, va="top", fontsize=8.5, color="white" if on_blue else "black")
    for trouble in played.script.troubles:
        words = (
            trouble.words.replace(" of ", "\nof ")
            .replace(": ", ":\n")
            .replace("fail, ", "fail,\n")
            .replace("grows", "\ngrows")
        )
        middle = (trouble.begin + trouble.end) / 2
        axes.text(middle, 1.03, words, ha="center", va="bottom", color=RED, fontsize=8.5)
        axes.plot(
            (trouble.begin, trouble.end),
            (1.01, 1.01),
            color=RED,
            linewidth=3,
            clip_on=False,
            solid_capstyle="butt",
        )


def _draw_errors(axes: Any, played: Played) -> None:
    hours = _hours(played)
    axes.plot(hours, [p.old_errors for p in played.points], color=OLD_COLOUR, linewidth=3, label="old mode")
    axes.plot(hours, [p.new_errors for p in played.points], color=NEW_COLOUR, linewidth=1.2, label="new mode")
    _threshold(axes, RULES.error_rate, "falls back above 50 %")
    for trouble in played.script.troubles:
        if trouble.fails and not trouble.blamed:
            axes.text(
                trouble.end + 0.2,
                0.85,
                "both fail alike:\nthe new mode is not blamed",
                va="center",
                color=RED,
                fontsize=8.5,
            )
    axes.set_ylim(-0.03, 1.08)
    axes.yaxis.set_major_formatter(PercentFormatter(1))
    axes.set_ylabel("error rate,\nlast 5 min")
    axes.legend(loc="upper right", frameon=False)


def _draw_latencies(axes: Any, played: Played) -> None:
    hours = _hours(played)
    axes.plot(
        hours,
        [p.old_latency / SECOND for p in played.points],
        color=OLD_COLOUR,
        linewidth=3,
        label="old mode",
    )
    axes.plot(
        hours,
        [p.new_latency / SECOND for p in played.points],
        color=NEW_COLOUR,
        linewidth=1.2,
        label="new mode",
    )
    _threshold(axes, RULES.latency_share * RULES.timeout_threshold / SECOND, "falls back above 240 s")
    axes.set_ylim(-8, 340)
    axes.set_ylabel("average latency [s],\nlast 5 min")
    axes.legend(loc="upper right", frameon=False)


def _threshold(axes: Any, at: float, words: str) -> None:
    axes.axhline(at, color=RED, linewidth=0.9, linestyle="--")
    axes.annotate(words, (0.1, at), xytext=(0, 3), textcoords="offset points", color=RED, fontsize=8.5)


def _draw_dwells(axes: Any, played: Played) -> None:
    _band(axes, played, 0.12)
    hours = _hours(played)
    axes.step(
        hours, [p.dwell / MINUTE for p in played.points], where="post", color=DWELL_COLOUR, linewidth=1.6
    )
    axes.set_yscale("log", base=2)
    axes.set_ylim(0.45, 150)
    axes.set_yticks((1, 2, 4, 8, 16, 30))
    axes.set_yticklabels(("1 min", "2", "4", "8", "16", "30"))
    axes.minorticks_off()
    axes.set_ylabel("dwell of the present,\nor next, fallback", color=DWELL_COLOUR)
    keys = [plt.Rectangle((0, 0), 1, 1, color=colour) for colour in PHASES.values()]
    names = ("normal", "fallback: all use the old mode", "trial: 5 % try the new mode")
    axes.legend(
        keys, names, loc="center right", frameon=False, title="phase, in the band below", alignment="left"
    )
    for at, words in _causes(played):
        line = {"arrowstyle": "-", "color": RED, "linewidth": 0.8}
        axes.annotate(
            words,
            (at, 0.58),
            xytext=(at - 0.1, 0.98),
            textcoords=("data", "axes fraction"),
            ha="right",
            va="top",
            fontsize=8.5,
            color=RED,
            arrowprops=line | {"relpos": (1, 0), "shrinkA": 0},
        )
    first = next(turn.at / HOUR for turn in played.turns if turn.state.phase is Phase.NORMAL)
    axes.text(first + 1.2, 14, "halved by every hour\nin which all is well", color=DWELL_COLOUR, fontsize=8.5)
    axes.text(first - 1.2, 6, "doubled by every\nfailed trial", color=DWELL_COLOUR, fontsize=8.5, ha="right")


def _draw_near(axes: Any, played: Played, trouble: Trouble) -> None:
    """Draw the phases of one trouble from nearby, with the dwell of each fallback."""
    normal = next(
        t.at / HOUR for t in played.turns if t.at / HOUR > trouble.end and t.state.phase is Phase.NORMAL
    )
    first = next(t.at / HOUR for t in played.turns if t.at / HOUR > trouble.begin)
    begin, end = first - 0.15, normal + 0.15
    _band(axes, played, 0.5)
    axes.axvspan(max(begin, trouble.begin), trouble.end, ymin=0.52, ymax=0.62, color=RED, linewidth=0)
    axes.text(
        max(begin, trouble.begin),
        0.66,
        f" {trouble.words}, until {_clock(trouble.end)}",
        color=RED,
        fontsize=8.5,
    )
    for turn, following in pairwise(played.turns):
        at, until = turn.at / HOUR, following.at / HOUR
        if begin < at < end and turn.state.phase is Phase.FALLBACK:
            words = f"{turn.state.dwell // MINUTE}"
            if until - at > 0.15:
                words += " min"
            axes.text((at + until) / 2, 0.25, words, ha="center", va="center", fontsize=9)
    resets = [act for act in played.script.acts if not act.fields and begin < act.hour < end]
    back = "reset by hand" if resets else "back by itself"
    axes.text(normal, 0.66, f"{back} ", ha="right", fontsize=8.5, color="#276749")
    axes.plot((normal, normal), (0, 0.62), color="#276749", linewidth=1.4)
    axes.set_xlim(begin, end)
    axes.set_ylim(0, 1)
    axes.set_yticks(())
    axes.spines["left"].set_visible(False)
    axes.xaxis.set_major_locator(MultipleLocator(1 / 6))
    axes.xaxis.set_major_formatter(FuncFormatter(_clock))
    axes.set_title("from nearby: phases, and the dwell of each fallback", fontsize=9, loc="left")


def _band(axes: Any, played: Played, height: float) -> None:
    end = round(played.script.hours * HOUR)
    marks = [(0, Phase.NORMAL), *((turn.at, turn.state.phase) for turn in played.turns), (end, Phase.NORMAL)]
    for (begin, phase), (until, _) in pairwise(marks):
        axes.axvspan(begin / HOUR, until / HOUR, ymin=0, ymax=height, color=PHASES[phase], linewidth=0)


def _causes(played: Played) -> list[tuple[float, str]]:
    """Return for each fallback from NORMAL when it began, and why."""
    found: list[tuple[float, str]] = []
    before = Phase.NORMAL
    for turn in played.turns:
        if turn.state.phase is Phase.FALLBACK and before is Phase.NORMAL:
            words = re.sub(r" \(thr", "\n(thr", turn.state.reason).replace(" in a row: ", " in a row:\n")
            found.append((turn.at / HOUR, words))
        before = turn.state.phase
    return found
