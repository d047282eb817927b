"""What the run says, in sentences: the answer, what stands behind it, and what to do next."""

import math

import pandas as pd

from erawise.base.schema import CV, ERA, PREDICTION, VALIDATION, spanned_eras, spanned_weeks
from erawise.evaluation import significance
from erawise.evaluation.significance import BETTER, OPEN, WORSE
from erawise.history.comparison import luck
from erawise.report.content import CORR, SPLITS, Content

ENOUGH = 0.95
"""Probability that a Sharpe is no luck, above which the page calls it established."""

HEAVY = 0.5
"""Share of all importance in the leading features above which the page warns."""

EXPOSED = 0.35
"""Mean of an era's largest exposure above which the page advises neutralization."""

ALWAYS = "Try an idea with `dvc exp run -n idea -S …`, then `erawise compare HEAD idea`: it says whether the difference is more than luck."


def interval(content: Content, split: str, name: str, score: str = CORR) -> str:
    """The bounds of a mean's 95 % interval in words; empty where it can't be given."""
    low, high = content.value(split, name, score, "low"), content.value(split, name, score, "high")
    return "" if low is None or high is None else f"95 % interval {low:.4f} to {high:.4f}"


def effective(content: Content, split: str, name: str) -> str:
    """How many independent eras the scores are worth, in words; empty where it can't be told."""
    table = content.scores[split]
    own = table[(table[PREDICTION] == name) & table[CORR].notna()].sort_values(ERA)
    if not len(own):
        return ""
    overlap = spanned_eras(own[ERA].to_numpy(), spanned_weeks(content.days))
    found = significance.mean(own[CORR].to_numpy(float), overlap=overlap)
    worth = min(found.effective_eras, len(own))
    return f"{len(own)} eras" if found.reason else f"{len(own)} eras, worth some {worth:.0f} independent ones"


def answer(content: Content) -> str:
    """What the chosen prediction is worth, in one or two sentences."""
    return f"{_promise(content)} {_check(content)}"


def verdict(content: Content) -> str:
    """The chosen prediction against that of the committed run, in a sentence."""
    found = content.compared
    if found.reason:
        return f"There is no comparison with {found.before}: {found.reason}."
    rows = found.table[found.table[PREDICTION] == content.chosen]
    if not len(rows):
        return f"{found.before} has no prediction called {content.chosen}."
    if (rows["difference"] == 0).all() and not rows["left_out"].any() and set(rows["split"]) == set(SPLITS):
        return f"The scores of {content.chosen} are those of {found.before}."
    return f"Against {found.before}: " + "; ".join(_told(content.chosen, row) for row in rows.to_dict("records")) + f". {luck(found.table)}"


def looked(content: Content) -> str:
    """How much the validation score is worth after so many looks."""
    count = content.looks.count
    if not count:
        return "No evaluation on this data is on record in this checkout, so nobody can say how often these validation eras were looked at."
    text = f"These validation eras were looked at {count} time{'s' if count > 1 else ''} in this checkout."
    if math.isnan(content.looks.deflated):
        return text + " There are too few of them to tell what luck among the looks would have shown."
    return text + f" The Sharpe is above what the best of so many shows by luck with probability {content.looks.deflated:.2f}."


def advice(content: Content, pairs: pd.DataFrame) -> list[str]:
    """What to do next, the most pressing first; each a sentence or two, with the command where there is one, in backquotes.

    `pairs` are those of `content.pairs`.
    """
    rules = (_signal, _worse, _gap, _luck, _exposure, _heavy)
    pressing = [text for text in (rule(content) for rule in rules) if text]
    return [*pressing, *_other(content, pairs), ALWAYS]


def _promise(content: Content) -> str:
    name = content.chosen
    mean, low, high = (content.value(CV, name, CORR, key) for key in ("mean", "low", "high"))
    if mean is None:
        return f"{name} has no score out of fold."
    text = f"Out of fold, {name} has a mean CORR of {mean:.4f}"
    if low is None or high is None:
        return f"{text}; there are too few eras for an interval."
    bounds = f"{text} ({interval(content, CV, name)})"
    if low > 0:
        return f"{bounds}: that it finds something is established."
    if high < 0:
        return f"{bounds}: that it points the wrong way is established."
    return f"{bounds}: that it finds anything isn't established."


def _check(content: Content) -> str:
    mean = content.value(VALIDATION, content.chosen, CORR, "mean")
    if mean is None:
        return "No validation era has a score yet."
    text = f"The final check, on the validation eras, gives {mean:.4f}"
    bounds = interval(content, VALIDATION, content.chosen)
    return f"{text} ({bounds})." if bounds else f"{text}, on too few eras for an interval."


def _told(name: str, row: dict[str, object]) -> str:
    """The comparison of one split."""
    difference, low, high = (float(str(row[key])) for key in ("difference", "low", "high"))
    left = f", {row['left_out']} eras left out that one of them lacks" if row["left_out"] else ""
    if math.isnan(difference):
        return f"no era of {row['split']} has a score of both"
    bounds = "" if math.isnan(low) else f", 95 % interval {low:+.4f} to {high:+.4f}"
    found = f"no difference can be told on {row['split']}" if row["verdict"] == OPEN else f"{name} is {row['verdict']} on {row['split']}"
    return f"{found} ({difference:+z.4f}{bounds}{left})"


def _signal(content: Content) -> str:
    low, high = (content.value(CV, content.chosen, CORR, key) for key in ("low", "high"))
    if low is not None and low > 0:
        return ""
    why = "there are too few eras out of fold for an interval" if low is None else "its interval out of fold reaches 0"
    if high is not None and high < 0:
        why = "out of fold it points the wrong way"
    return (
        f"Don't stake on {content.chosen} yet: {why}. More eras, more data or a stronger model come before everything else; "
        "`erawise canary` tells whether the pipeline itself is sound."
    )


def _worse(content: Content) -> str:
    table = content.compared.table
    rows = table[(table[PREDICTION] == content.chosen) & (table["split"] == CV)] if len(table) else table
    if not len(rows):
        return ""
    if rows["verdict"].iloc[0] == WORSE:
        return (
            f"This run is worse than {content.compared.before} out of fold: put it aside with `git stash` and `dvc checkout`, or say in "
            "the commit why it is kept."
        )
    if rows["verdict"].iloc[0] == BETTER:
        return f"This run is better than {content.compared.before} out of fold: keep it with `git commit`."
    return ""


def _gap(content: Content) -> str:
    """Validation that falls below what cv promises is the sign of a choice that has seen too much."""
    high = content.value(VALIDATION, content.chosen, CORR, "high")
    low = content.value(CV, content.chosen, CORR, "low")
    if high is None or low is None or high >= low:
        return ""
    return (
        "The validation score lies below all that cross-validation makes likely: something was fitted to the train eras, or the market "
        "has changed. `erawise canary` runs the pipeline where there is nothing to find."
    )


def _luck(content: Content) -> str:
    deflated = content.looks.deflated
    if math.isnan(deflated) or deflated >= ENOUGH:
        return ""
    return (
        f"After {content.looks.count} looks the validation Sharpe may be luck (probability that it isn't: {deflated:.2f}): "
        "choose on cv, and let live rounds judge (`erawise monitor`)."
    )


def _exposure(content: Content) -> str:
    largest = content.value(CV, content.chosen, "exposure", "max")
    if largest is None or largest < EXPOSED:
        return ""
    return (
        f"{content.chosen} leans on single features (largest exposure {largest:.2f} on average): `dvc exp run -S neutralize.features=all` "
        "or a larger `neutralize.count` trades some CORR for a steadier one."
    )


def _heavy(content: Content) -> str:
    table = content.tables.get("importance")
    if table is None or not len(table):
        return ""
    leading = table.groupby("model", sort=False)[["cumulative", "features"]].last()
    held = leading[(leading["cumulative"] > HEAVY) & (leading["features"] > 4 * table["rank"].max())]
    if not len(held):
        return ""
    name = held["cumulative"].idxmax()
    return (
        f"{held['cumulative'].max():.0%} of the importance of {name} is in {int(table['rank'].max())} of {int(held['features'][name])} "
        "features: see what drives it, below."
    )


def _other(content: Content, pairs: pd.DataFrame) -> list[str]:
    """A prediction that is better than the chosen one, by its mean and by its Sharpe."""
    against = pairs[(pairs["split"] == CV) & (pairs["b"] == content.chosen)]
    rows = against[against["verdict"] == BETTER]
    own = content.value(CV, content.chosen, CORR, "sharpe") or 0.0
    steadier = rows[[(content.value(CV, name, CORR, "sharpe") or 0.0) > own for name in rows["a"]]]
    if not len(steadier):
        return []
    name = steadier.loc[steadier["mean"].idxmax(), "a"]
    return [
        f"Of {len(against)} predictions compared with {content.chosen} out of fold {name} is the best: its mean CORR is higher, with a "
        "95 % interval above 0, and so is its Sharpe. `upload.prediction` and `submit.models` say which prediction goes out."
    ]
