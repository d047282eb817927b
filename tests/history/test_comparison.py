"""The comparison of two runs: shared eras, figures and words, and settings that differ."""

import re

import numpy as np
import pandas as pd
import pytest
from numpy.typing import NDArray

from erawise.charts import score_charts, style
from erawise.evaluation import significance
from erawise.evaluation.objectives import BY_CORR
from erawise.evaluation.significance import BETTER, OPEN, WORSE
from erawise.history import comparison, ledger


def scores(eras: NDArray, **predictions: NDArray) -> pd.DataFrame:
    parts = [pd.DataFrame({"era": eras, "prediction": name, "corr": values}) for name, values in predictions.items()]
    return pd.concat(parts, ignore_index=True)


@pytest.fixture
def runs() -> tuple[dict[str, pd.DataFrame], dict[str, pd.DataFrame]]:
    rng = np.random.default_rng(0)
    eras = np.arange(1, 121)
    base, noise = 0.02 + 0.03 * rng.normal(size=120), 0.01 * rng.normal(size=(3, 120))
    before = scores(eras, ridge=base, trees=base, gone=base, flat=base)
    after = scores(eras[20:], ridge=base[20:] + 0.02 + noise[0, 20:], trees=(base - 0.02 + noise[1])[20:], new=base[20:], flat=base[20:])
    after.loc[(after["prediction"] == "trees") & (after["era"] == 60), "corr"] = np.nan
    early = before[before["era"] < 20]
    return {"cv": before, "validation": early}, {"cv": after, "validation": early[early["prediction"] != "gone"]}


def test_predictions_that_both_have_are_compared_on_the_eras_that_both_have(runs: tuple) -> None:
    before, after = runs
    table = comparison.compare(before, after, 20).set_index(["split", "prediction"])
    assert list(table.loc["cv"].index) == ["ridge", "trees", "flat"]
    assert table.loc[("cv", "ridge"), ["eras", "left_out"]].tolist() == [100, 20]
    assert table.loc[("cv", "trees"), ["eras", "left_out"]].tolist() == [99, 21]
    assert table["verdict"].loc["cv"].tolist() == [BETTER, WORSE, OPEN]
    a, b = (run["cv"].query("prediction == 'ridge' and era > 20")["corr"].round(comparison.DECIMALS).to_numpy() for run in runs)
    found = significance.paired_difference(b, a, overlap=4)
    row = table.loc[("cv", "ridge")]
    assert (row["difference"], row["low"], row["high"], row["drawdown_low"]) == (found.mean, found.low, found.high, found.drawdown.low)
    assert (row["mean_before"], row["mean_after"]) == (a.mean(), b.mean())
    assert comparison.only_in_one(before, after) == (["gone"], ["new"])


def test_every_fourth_era_spans_one_and_longer_targets_need_more(runs: tuple) -> None:
    before, after = ({"cv": run["cv"][run["cv"]["era"] % 4 == 0]} for run in runs)
    assert comparison.compare(before, after, 20)["low"].notna().any()
    assert comparison.compare(before, after, 60)["low"].notna().any()
    assert comparison.compare(runs[0], runs[1], 120)["reason"].str.contains("192").any()


def test_the_words_say_what_the_figures_say(runs: tuple) -> None:
    before, after = runs
    table = comparison.compare(before, after, 20)
    lines = comparison.sentences(table)
    assert lines[0].startswith("cv, ridge: CORR 0.0")
    assert ": better (100 eras, worth " in lines[0]
    assert ": worse (99 eras" in lines[1]
    assert lines[2] == "cv, flat: can't tell: the scores are the same in every era"
    assert "19 eras; an interval needs 32" in lines[3]
    rng = np.random.default_rng(1)
    close = scores(np.arange(200), a=0.03 * rng.normal(size=200)), scores(np.arange(200), a=0.03 * rng.normal(size=200) + 0.001)
    (line,) = comparison.sentences(comparison.compare({"cv": close[0]}, {"cv": close[1]}, 20))
    assert re.search(r"can't tell \(better with probability \d\d % on 200 eras; .* eras would tell a true difference of this size\)", line)
    text = comparison.markdown(table)
    assert text.count("\n") == len(table) + 1
    assert "nan" not in text


def test_the_content_is_json_and_the_picture_says_what_is_established(runs: tuple) -> None:
    before, after = runs
    table = comparison.compare(before, after, 20)
    content = comparison.content(table, "A", "B", {"models.ridge.l2": [1.0, 2.0]})
    assert content["settings"] == {"models.ridge.l2": {"before": 1.0, "after": 2.0}}
    assert content["predictions"][2]["low"] is None
    possible = sum(row["low"] is not None for row in content["predictions"])
    assert 0 < possible < len(table)
    assert content["verdicts"] == {"possible": possible, "established": 2, "holm": 2, "by_luck": round(0.05 * possible, 2)}
    assert comparison.luck(table).startswith(f"Verdicts: 2 of {possible}; ")
    assert f"luck alone gives {0.05 * possible:.1f} of {possible} on average" in comparison.luck(table)
    assert comparison.luck(table.iloc[2:3]) == comparison.luck(table.iloc[:0]) == "Verdicts: none, as no prediction has an interval."
    picture = comparison.picture(table, "A", "B")
    assert picture.headline == f"From A to B: 1 better and 1 worse of {len(table)}"
    assert comparison.picture(table.iloc[2:], "A", "B").headline == "From A to B: no difference is established"
    figure = score_charts.differences(picture, style.colours(["ridge", "trees"]))
    assert [axes.get_title(loc="left") for axes in figure.axes] == ["cv, 100 eras", "validation, 19 eras"]
    empty = comparison.compare({"cv": runs[0]["cv"]}, {"cv": scores(np.arange(3), other=np.zeros(3))}, 20)
    assert empty.empty
    assert comparison.markdown(empty).count("\n") == 1
    score_charts.differences(comparison.picture(empty, "A", "B"), style.colours([]))


def test_settings_that_differ_are_named_by_their_path() -> None:
    a = {"data": {"seed": 1, "market": {"eras": 5}}, "models": {"x": {"l2": 1.0}, "y": {}}}
    b = {"data": {"seed": 1, "market": {"eras": 6}}, "models": {"x": {"l2": 1.0}, "z": {"l2": [1, 2]}}}
    changes = ledger.changes(ledger.flat(a), ledger.flat(b))
    assert changes == {"data.market.eras": [5, 6], "models.y": [{}, None], "models.z.l2": [None, [1, 2]]}
    assert comparison.settings_changed(changes)[1:] == ["models.y: {} → absent", "models.z.l2: absent → [1, 2]"]


def test_bits_that_hang_on_company_are_no_difference() -> None:
    before = pd.DataFrame({"era": range(1, 61), "prediction": "ridge", "corr": np.random.default_rng(0).normal(0.03, 0.02, 60)})
    after = before.assign(corr=before["corr"] + 5e-17 * np.resize([1, -1], 60))
    found = comparison.pair(before, "ridge", after, "ridge", 20)
    assert (found["difference"], found["verdict"], found["reason"]) == (0, OPEN, "the scores are the same in every era")


def test_the_answer_names_what_became_of_the_models_that_changed(runs: tuple) -> None:
    before, after = ({"cv": run["cv"]} for run in runs)
    table = comparison.compare(before, after, 20)
    said = comparison.answer(table, ["ridge", "trees", "flat"], {"fresh": 0.0312}, ["gone"])
    assert re.fullmatch(
        r"ridge: better, \+0\.0\d+ \(\+.* … \+.*\); trees: worse, -0\.0.*; fresh: new, CORR 0\.0312; gone: gone; 1 model unchanged", said
    )
    only_ensembles = comparison.answer(table, ["flat"], {}, [])
    assert only_ensembles.startswith("ridge: better, ")
    assert only_ensembles.endswith("; 1 model unchanged")
    assert comparison.answer(table.iloc[2:], ["flat"], {}, []) == "Nothing changed: 1 predictions have the same scores in every era"
    many = pd.concat([table.iloc[:1].assign(prediction=f"m{number}") for number in range(6)])
    assert comparison.answer(many, [f"m{number}" for number in range(6)], {}, []) == "6 better (m0, m1, m2, m3, m4, m5); 0 models unchanged"


def test_a_new_model_is_held_against_its_nearest_relative_and_the_benchmark() -> None:
    rng = np.random.default_rng(2)
    eras, base = np.arange(120), 0.03 * rng.normal(size=120)
    table = scores(eras, a=base, b=-base, new=base + 0.02 + 0.001 * rng.normal(size=120)).assign(bmc=0.01 + 0.001 * rng.normal(size=360))
    assert comparison.nearest(table, "new", ["a", "b", "new"]) == "a"
    assert comparison.nearest(table, "new", ["new"]) is None
    found = comparison.newcomer(table, "new", ["a", "b"], 20)
    assert found.title == "new against others of its run"
    assert [row[0] for row in found.rows] == ["a", "b", "benchmark, by BMC"]
    assert [row[-1] for row in found.rows] == [BETTER, BETTER, BETTER]


def test_nobody_is_told_to_wait_for_centuries() -> None:
    row = {"verdict": OPEN, "eras_to_tell": comparison.REALISTIC + 1.0}
    assert comparison.eras_needed(row) == "no realistic number"
    assert comparison.eras_needed(row | {"eras_to_tell": 1999.0}) == 1999
    assert comparison.eras_needed(row | {"verdict": BETTER}) is comparison.eras_needed(row | {"eras_to_tell": np.nan}) is None
    assert [comparison.probability(value) for value in (1.0, 0.0, 0.5, np.nan)] == ["> 99 %", "< 1 %", "50 %", "–"]


def test_a_difference_within_the_seeds_standard_deviation_is_said_to_be(runs: tuple) -> None:
    before, after = runs
    table = comparison.compare(before, after, 20)
    change = abs(table.loc[0, "difference"])

    def spread(ridge: float) -> dict:
        return {"cv": {"ridge": {"corr": {"mean": 0.02, "seed_std": ridge}, "seeds": 3}, "trees": {"corr": {"mean": 0.02}}}}

    found = comparison.with_seeds(table, BY_CORR, spread(change / 2), spread(2 * change)).to_dict("records")
    assert [row["seed_std"] for row in found[:1]] == [2 * change]
    assert np.isnan([row["seed_std"] for row in found[1:]]).all()
    assert comparison.verdict(found[0]).endswith(f"), within the seeds' standard deviation ({2 * change:.4f})")
    assert comparison.answer(pd.DataFrame(found[:2]), ["ridge", "trees"], {}, []).count("within the seeds") == 1
    larger = comparison.with_seeds(table, BY_CORR, {}, spread(change / 2)).to_dict("records")[0]
    assert comparison.within_seeds(larger) == ""
    assert comparison.within_seeds(table.to_dict("records")[0]) == ""
    assert comparison.with_seeds(comparison.compare({}, {}, 20), BY_CORR, {}, {}).empty
