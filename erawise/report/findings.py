"""Findings of the run in sentences: which prediction to send and why, how sure that is, and what to do next."""

import math

import pandas as pd

from erawise.base.schema import CV, ERA, PREDICTION, VALIDATION, spanned_eras, spanned_weeks
from erawise.evaluation import significance
from erawise.evaluation.objectives import BY_CORR, SHARPE
from erawise.evaluation.significance import BETTER, OPEN, WORSE
from erawise.history.comparison import luck
from erawise.report.content import CORR, PAYOUT, SPLITS, Content

ENOUGH = 0.95
"""Probability that a Sharpe is no luck, above which the page calls it established."""

NEARLY = 0.99
"""Probability that is shown as a bound: nothing is certain."""

EXPOSED = 0.35
"""Mean of an era's largest exposure above which the page advises neutralization."""

ALWAYS = "Try an idea by `dvc exp run --temp -n idea -S …`, then `erawise compare HEAD idea`: is the difference more than luck?"


def interval(content: Content, split: str, name: str, score: str = CORR) -> str:
    """Return the bounds of a mean's 95 % interval in words; empty if it can't be given."""
    low, high = content.value(split, name, score, "low"), content.value(split, name, score, "high")
    return "" if low is None or high is None else f"95 % interval {low:.4f} to {high:.4f}"


def chance(probability: float) -> str:
    """Return a probability in words, never as certain."""
    if probability > NEARLY:
        return f"> {NEARLY:.0%}"
    return f"< {1 - NEARLY:.0%}" if probability < 1 - NEARLY else f"{probability:.0%}"


def effective(content: Content, split: str, name: str) -> str:
    """Return the number of eras with a score, and of independent ones, in words; empty if there is none."""
    table = content.scores[split]
    own = table[(table[PREDICTION] == name) & table[CORR].notna()]
    if not len(own):
        return ""
    worth = significance.effective_eras(len(own), spanned_eras(own[ERA].to_numpy(), spanned_weeks(content.days)))
    return f"{len(own)} eras, {worth:.0f} independent"


def decision(content: Content, pairs: pd.DataFrame) -> str:
    """State in one sentence which prediction to send, and why.

    `pairs` is the table of `content.decisive`.
    """
    own, better = content.chosen, _better(content, pairs)
    if better or not _why_not(content, own):
        return _send(content, better or own, own if better else _next_best(content), pairs)
    return f"Send nothing yet: {_why_not(content, own)}."


def _send(content: Content, name: str, rival: str, pairs: pd.DataFrame) -> str:
    against = pairs[(pairs["a"] == name) & (pairs["b"] == rival)]
    if not len(against):
        mean = content.value(CV, name, content.by.column, "mean") or math.nan
        return f"Send {name}: it finds a signal, a mean {content.by.score} of {_said(content, mean)} out of fold."
    row = against.iloc[0]
    bounds = "" if math.isnan(row["low"]) else f" (95 % interval {_said(content, row['low'], '+')} to {_said(content, row['high'], '+')})"
    by = f"{_said(content, row['mean'], '+')} {'in ' * (content.by.name == PAYOUT)}{content.by.label}"
    both = f"only {name} finds a signal" if _why_not(content, rival) else "both find a signal"
    if name != content.chosen:
        return f"Send {name}, not {rival}, which the settings name: better out of fold by {by}{bounds}; {both}."
    if row["verdict"] == BETTER:
        return f"Send {name}: better than {rival}, the next best, out of fold by {by}{bounds}; {both}."
    if row["verdict"] == WORSE:
        return f"Send {name}: steadier than {rival} out of fold, with a lower {content.by.label}, {by}{bounds}; {both}."
    standing = f"ahead of {rival}, the next best," if row["mean"] >= 0 else f"behind {rival}"
    return f"Send {name}: {standing} out of fold by {by}, which may be luck{bounds}; {both}."


def _said(content: Content, value: float, sign: str = "") -> str:
    """Return a figure of the score that decides as text: a payout as a share of the stake."""
    return f"{value:{sign}.1%} of the stake" if content.by.name == PAYOUT else f"{value:{sign}.4f}"


def _next_best(content: Content) -> str:
    """Return the other prediction that is highest out of fold by the objective; empty if there is none."""
    means = {name: content.figure(name) for name in content.predictions if name not in (content.chosen, *content.doubtful)}
    known = {name: mean for name, mean in means.items() if mean is not None}
    return max(known, key=lambda name: known[name], default="")


def _why_not(content: Content, name: str) -> str:
    """Explain why a prediction finds no signal out of fold; return nothing if it finds one."""
    column, label = content.by.column, content.by.score
    mean, low, high = (content.value(CV, name, column, key) for key in ("mean", "low", "high"))
    if mean is None:
        return f"{name} has no score out of fold"
    if name in content.doubtful:
        return f"{name} isn't known to be out of fold"
    if low is None or high is None:
        return f"{name} has a mean {label} of {mean:.4f} out of fold, on too few eras for an interval"
    if low > 0:
        return ""
    way = "points the wrong way" if high < 0 else "may be luck"
    return f"the {label} of {name} out of fold, {mean:.4f} ({interval(content, CV, name, column)}), {way}"


def paid(content: Content, pairs: pd.DataFrame) -> str:
    """Compare the chosen prediction with the next best by the score that is paid; return nothing if it is unknown, or decides anyway.

    `pairs` is the table of `content.pairs`.
    """
    if content.by.name == PAYOUT:
        return ""
    rows = pairs[(pairs["score"] == PAYOUT) & (pairs["split"] == CV) & (pairs["a"] == content.chosen) & (pairs["b"] == _next_best(content))]
    if not len(rows):
        return ""
    row, way = rows.iloc[0], "stand-in, BMC for MMC" if content.column(CV, PAYOUT) != PAYOUT else "MMC included"
    way += ", on a toy market" if content.toy else ""
    return f"By payout ({way}): {row['verdict']}, {row['mean']:+.1%} of the stake an era against {row['b']}."


def verdict(content: Content) -> str:
    """Compare the chosen prediction with the committed run's, in a sentence."""
    found = content.compared
    if found.reason:
        return f"There is no comparison with {found.before}: {found.reason}."
    rows = found.table[found.table[PREDICTION] == content.chosen]
    if not len(rows):
        return f"{found.before} has no prediction called {content.chosen}."
    if (rows["difference"] == 0).all() and not rows["left_out"].any() and set(rows["split"]) == set(SPLITS):
        return f"The scores of {content.chosen} are the same as in {found.before}."
    by = "" if content.by == BY_CORR else f", by {content.by.measure}"
    told = "; ".join(_told(content.chosen, row) for row in rows.to_dict("records"))
    return f"Against {found.before}{by}: {told}. {luck(found.table)}"


def looked(content: Content) -> str:
    """Estimate how much the validation score is worth after so many looks."""
    count = content.looks.count
    if not count:
        return "No evaluation on this data is on record in this checkout, so nobody can say how often these validation eras were looked at."
    text = f"These validation eras were looked at {count} time{'s' if count > 1 else ''} in this checkout."
    if math.isnan(content.looks.deflated):
        return text + " They are too few to tell luck among the looks from a signal."
    return text + f" The Sharpe is above the best of so many by luck with a probability of {chance(content.looks.deflated)}."


def advice(content: Content, pairs: pd.DataFrame) -> list[str]:
    """Return what to do next, the most pressing first: a sentence or two each, commands in backquotes.

    `pairs` is the table of `content.decisive`.
    """
    rules = (_signal, _worse, _gap, _luck, _exposure)
    pressing = [text for text in (rule(content) for rule in rules) if text]
    return [*pressing, *_other(content, pairs), ALWAYS]


def check(content: Content) -> str:
    """Summarize the score of the validation eras."""
    column = content.by.column
    mean = content.value(VALIDATION, content.chosen, column, "mean")
    if mean is None:
        return "No validation era has a score yet."
    text = f"The final check, on validation eras, gives {content.chosen} a {content.by.score} of {mean:.4f}"
    bounds = interval(content, VALIDATION, content.chosen, column)
    return f"{text} ({bounds})." if bounds else f"{text}, on too few eras for an interval."


def _told(name: str, row: dict[str, object]) -> str:
    """Describe the comparison of one split."""
    difference, low, high = (float(str(row[key])) for key in ("difference", "low", "high"))
    left = f", {row['left_out']} eras left out that one of them lacks" if row["left_out"] else ""
    if math.isnan(difference):
        return f"no era of {row['split']} has a score of both"
    bounds = "" if math.isnan(low) else f", 95 % interval {low:+.4f} to {high:+.4f}"
    found = f"no difference can be told on {row['split']}" if row["verdict"] == OPEN else f"{name} is {row['verdict']} on {row['split']}"
    return f"{found} ({difference:+z.4f}{bounds}{left})"


def _signal(content: Content) -> str:
    why = _why_not(content, content.chosen)
    return why and (
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
    """Warn of a validation score below cross-validation's interval: a choice has seen too much, or the market has changed."""
    high = content.value(VALIDATION, content.chosen, content.by.column, "high")
    low = content.value(CV, content.chosen, content.by.column, "low")
    if high is None or low is None or high >= low:
        return ""
    return (
        "The validation score lies below the interval of cross-validation: something was fitted to the train eras, or the market "
        "has changed. `erawise canary` runs the pipeline on data without a signal."
    )


def _luck(content: Content) -> str:
    deflated = content.looks.deflated
    if math.isnan(deflated) or deflated >= ENOUGH:
        return ""
    return (
        f"After {content.looks.count} looks the validation Sharpe may be luck (probability that it isn't: {chance(deflated)}): "
        "choose on cv, and let live rounds judge (`erawise monitor`)."
    )


def _exposure(content: Content) -> str:
    largest = content.value(CV, content.chosen, "exposure", "max")
    if largest is None or largest < EXPOSED:
        return ""
    return (
        f"{content.chosen} leans on single features (largest exposure {largest:.2f} on average): "
        "`dvc exp run --temp -n flatter -S neutralize.features=all` or a larger `neutralize.count` trades some "
        f"{content.corr} for a steadier one."
    )


def _better(content: Content, pairs: pd.DataFrame) -> str:
    """Return the prediction that beats the chosen one out of fold beyond doubt, by the objective and by its Sharpe; empty if none does.

    Holm adjusts the verdicts for all predictions that are compared with the chosen one: the best of many equal ones is no winner.
    """
    column, known = content.by.column, ~pairs["a"].isin(content.doubtful)
    rows = pairs[(pairs["b"] == content.chosen) & (pairs["verdict_holm"] == BETTER) & known]
    own = content.value(CV, content.chosen, column, "sharpe") or 0.0
    steadier = rows[[(content.value(CV, name, column, "sharpe") or 0.0) > own for name in rows["a"]]]
    return str(steadier.loc[steadier["mean"].idxmax(), "a"]) if len(steadier) else ""


def _other(content: Content, pairs: pd.DataFrame) -> list[str]:
    name, count = _better(content, pairs), len(content.predictions) - 1
    by = content.by.label if content.by.name == SHARPE else f"{content.by.measure} and by its Sharpe"
    told = f"{name} is the best of {count} predictions that were compared with {content.chosen} out of fold, by {by}, and by Holm."
    return [f"{told} To send it, name it in `upload.prediction` and `submit.models`."] if name else []
