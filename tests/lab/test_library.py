"""The package's top level: every kind of table gives the same figures as the official package, and bad input one clear line."""

import doctest
import importlib
import inspect
import json
import re
import subprocess
import sys
import tracemalloc
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pyarrow as pa
import pytest
from closure import ROOT
from numerai_tools import scoring

import erawise
from erawise.lab import library
from erawise.running.errors import InputError

ERAS, ROWS, FEATURES = 30, 40, 4
HEAVY = ("tensorflow", "keras", "dvc", "sklearn", "matplotlib", "lightgbm", "optuna", "dask", "numerapi", "altair")
NAMES = [f"feature_{k}" for k in range(FEATURES)]


def polars() -> Any:
    return pytest.importorskip("polars")


KINDS: dict[str, Callable[[pd.DataFrame], Any]] = {
    "pandas": lambda frame: frame,
    "pyarrow": lambda frame: pa.Table.from_pandas(frame, preserve_index=False),
    "polars": lambda frame: polars().from_arrow(pa.Table.from_pandas(frame, preserve_index=False)),
}


@pytest.fixture(scope="module")
def frame() -> pd.DataFrame:
    """Draw rows of several eras in no order, some without a target or a prediction."""
    rng = np.random.default_rng(0)
    rows = ERAS * ROWS
    made = pd.DataFrame({name: rng.integers(0, 5, rows).astype(np.int8) for name in NAMES})
    made["era"] = np.repeat([f"{era:04d}" for era in range(1, ERAS + 1)], ROWS)
    made["target_20"] = rng.integers(0, 5, rows) / 4
    made["meta"] = made["target_20"] + rng.normal(size=rows)
    made["a"] = made["target_20"] + made["feature_0"] + rng.normal(size=rows)
    made["b"] = made["a"] + rng.normal(size=rows)
    made = made.iloc[rng.permutation(rows)].set_index(pd.Index([f"n{k}" for k in range(rows)], name="id"))
    made.iloc[::31, made.columns.get_loc("a")] = np.nan
    made.iloc[::37, made.columns.get_loc("target_20")] = np.nan
    return made


def centred(rows: pd.DataFrame) -> pd.Series:
    return rows["target_20"] - rows["target_20"].mean()


def official_corr(rows: pd.DataFrame) -> float:
    known = rows["a"].notna() & rows["target_20"].notna()
    values = scoring.tie_kept_rank__gaussianize__pow_1_5(rows.loc[known, ["a"]])["a"]
    power = np.sign(centred(rows)[known]) * np.abs(centred(rows)[known]) ** 1.5
    return float(np.corrcoef(values, power)[0, 1])


def official_mmc(rows: pd.DataFrame) -> float:
    known = rows.dropna(subset=["a", "target_20"])
    return float(scoring.correlation_contribution(known[["a"]], known["meta"], known["target_20"])["a"])


@pytest.fixture(scope="module")
def official(frame: pd.DataFrame) -> tuple[pd.DataFrame, pd.DataFrame]:
    """Return the official package's scores by era, and its neutralized and gaussianized predictions by row."""
    scores, rows = [], []
    for _, own in frame.sort_index().groupby("era"):
        scores.append({"corr": official_corr(own), "mmc": official_mmc(own)})
        known = own.dropna(subset=["a"])
        neutral = scoring.neutralize(known[["a"]], known[NAMES].assign(constant=1.0))["a"]
        gaussian = scoring.gaussian(scoring.tie_kept_rank(own[["b"]]))["b"]
        rows.append(pd.DataFrame({"neutral": neutral, "gaussian": gaussian}))
    return pd.DataFrame(scores), pd.concat(rows).loc[frame.index]


@pytest.mark.parametrize("kind", KINDS)
def test_scores_are_the_official_ones_for_tables_of_every_kind(kind: str, frame: pd.DataFrame, official: tuple) -> None:
    given = KINDS[kind](frame)
    corr = erawise.numerai_corr(given["a"], given["target_20"], given["era"])
    assert corr.index.tolist() == list(range(1, ERAS + 1))
    assert corr.index.name == "era"
    assert corr.tolist() == pytest.approx(official[0]["corr"].tolist(), abs=1e-9)
    for function in (erawise.mmc, erawise.bmc):
        found = function(given["a"], given["meta"], given["target_20"], given["era"])
        assert found.tolist() == pytest.approx(official[0]["mmc"].tolist(), abs=1e-9)
    both = erawise.numerai_corr(given[["a", "b"]] if kind != "pyarrow" else given.select(["a", "b"]), given["target_20"], given["era"])
    assert both.columns.tolist() == ["a", "b"]
    pd.testing.assert_series_equal(both["a"], corr, check_names=False)


@pytest.mark.parametrize("kind", KINDS)
def test_a_frame_is_scored_with_all_that_it_has(kind: str, frame: pd.DataFrame) -> None:
    given = KINDS[kind](frame)
    found = erawise.score(given, ["a", "b"], target="target_20", meta_model="meta", benchmark="b", features=NAMES)
    assert found.days == 20
    separate = erawise.mmc(frame[["a", "b"]], frame["meta"], frame["target_20"], frame["era"])
    pd.testing.assert_frame_equal(found.by_era("mmc"), separate)
    fnc = erawise.fnc(frame[["a", "b"]], frame[NAMES], frame["target_20"], frame["era"])
    pd.testing.assert_frame_equal(found.by_era("fnc"), fnc)
    assert fnc["a"].mean() != pytest.approx(found.by_era()["a"].mean(), abs=1e-4)
    assert found.summary.loc["a", "corr.mean"] == pytest.approx(found.by_era()["a"].mean(), abs=1e-6)
    assert found.summary.loc["b", "exposure.max"] > 0
    assert np.isnan(found.by_era("bmc")["b"]).sum() == 0


def test_an_index_level_gives_the_eras_too(frame: pd.DataFrame) -> None:
    column = erawise.score(frame, "a", target="target_20")
    level = erawise.score(frame.set_index("era", append=True), "a", target="target_20")
    pd.testing.assert_frame_equal(column.table, level.table)


@pytest.mark.parametrize("kind", KINDS)
def test_rows_come_back_in_the_kind_that_was_given(kind: str, frame: pd.DataFrame, official: tuple) -> None:
    given = KINDS[kind](frame)
    features = given.select(NAMES) if kind != "pandas" else given[NAMES]
    neutral = erawise.neutralize(given["a"], features, given["era"])
    assert type(neutral) is type(given["a"])
    assert np.asarray(neutral, np.float64) == pytest.approx(official[1]["neutral"].to_numpy(), abs=1e-9, nan_ok=True)
    gaussian = erawise.gaussianize(given["b"], given["era"])
    assert type(gaussian) is type(given["b"])
    assert np.asarray(gaussian, np.float64) == pytest.approx(official[1]["gaussian"].to_numpy(), abs=1e-9)
    if kind == "pandas":
        assert neutral.index.equals(frame.index)
        assert neutral.name == "a"
    table = given[["a", "b"]] if kind == "pandas" else given.select(["a", "b"])
    assert type(erawise.gaussianize(table, given["era"])) is type(table)


def test_arrays_give_arrays(frame: pd.DataFrame) -> None:
    values = frame[["a", "b"]].to_numpy()
    gaussian = erawise.gaussianize(values, frame["era"].to_numpy())
    assert isinstance(gaussian, np.ndarray)
    assert gaussian.shape == values.shape
    corr = erawise.numerai_corr(values, frame["target_20"].to_numpy(), frame["era"].to_numpy())
    pd.testing.assert_frame_equal(
        corr, erawise.numerai_corr(frame[["a", "b"]], frame["target_20"], frame["era"]).set_axis(["0", "1"], axis=1)
    )


@pytest.mark.parametrize("kind", ["numpy", *KINDS])
def test_whole_numbers_of_features_are_never_copied_as_a_whole(kind: str, monkeypatch: pytest.MonkeyPatch) -> None:
    eras, rows, width = 40, 250, 200
    matrix = np.random.default_rng(0).integers(0, 5, (eras * rows, width)).astype(np.int8)
    era, y = np.repeat(np.arange(1, eras + 1), rows), matrix[:, 0] + np.arange(eras * rows) % 7.0
    features = matrix if kind == "numpy" else KINDS[kind](pd.DataFrame(matrix, columns=[f"f{k}" for k in range(width)]))
    types = set()

    def note(values: np.ndarray, block: np.ndarray, proportion: float) -> np.ndarray:
        types.add(block.dtype)
        return values

    monkeypatch.setattr(library, "_neutral", note)
    erawise.neutralize(y[:rows], matrix[:rows], era[:rows])
    tracemalloc.start()
    try:
        erawise.neutralize(y, features, era)
        peak = tracemalloc.get_traced_memory()[1]
    finally:
        tracemalloc.stop()
    assert types == {np.dtype(np.int8)}
    assert peak < matrix.nbytes / 2


def test_a_constant_prediction_has_no_score(frame: pd.DataFrame) -> None:
    flat = frame["a"].where(frame["era"] != "0003", 0.5)
    corr = erawise.numerai_corr(flat, frame["target_20"], frame["era"])
    assert corr.index[corr.isna()].tolist() == [3]
    assert erawise.neutralize(flat, frame[NAMES], frame["era"])[frame["era"] == "0003"].isna().all()
    assert (erawise.gaussianize(flat, frame["era"])[frame["era"] == "0003"] == 0).all()


def test_results_show_themselves(frame: pd.DataFrame) -> None:
    scores = erawise.score(frame.assign(**{"<b>": frame["b"]}), ["a", "<b>"], target="target_20", days=5)
    shown = repr(scores)
    assert "2 predictions in eras 1 to 30" in shown
    assert f"{scores.summary.loc['a', 'corr.mean']:.4f}" in shown
    assert "&lt;b&gt;" in scores._repr_html_()
    assert "MMC" not in shown
    found = scores.compare("<b>", "a")
    assert found == erawise.compare(scores.by_era()["<b>"], scores.by_era()["a"], days=5)
    assert found.verdict == "can't tell"
    assert "can't tell, " in repr(found)
    assert "95 %" in found._repr_html_()
    mean = erawise.interval(scores.by_era()["a"], days=5)
    assert scores.intervals().loc["a", "low"] == mean.low
    assert repr(mean).startswith(f"Interval({mean.mean:.4f}, 95 % {mean.low:.4f}")
    assert "better" in mean._repr_html_()
    short = erawise.interval(scores.by_era()["a"], days=60)
    assert "no interval: 30 eras" in repr(short)
    assert "no interval" in short._repr_html_()
    with pytest.raises(AttributeError):
        mean.low = 0.0


def test_scores_are_compared_era_by_era_by_their_index() -> None:
    rng = np.random.default_rng(1)
    before = pd.Series(rng.normal(0.02, 0.02, 120), [f"{era:04d}" for era in range(1, 121)])
    after = (before + rng.normal(0.01, 0.005, 120)).iloc[::-1].iloc[:100]
    found = erawise.compare(before, after, days=20)
    assert (found.eras, found.left_out, found.verdict) == (100, 20, "better")
    arrays = erawise.compare(before.to_numpy()[20:], after.to_numpy()[::-1], days=20)
    assert arrays.difference == pytest.approx(found.difference)
    sharpe = erawise.compare(before, after, days=20, statistic="sharpe")
    assert sharpe.mean_after == pytest.approx(after.mean() / after.std(ddof=0))
    every_fourth = pd.Series(before.to_numpy(), np.arange(1, 481, 4))
    assert erawise.interval(every_fourth, days=20).effective_eras == 120
    assert erawise.interval(before, days=20).effective_eras == 30


FAULTS: dict[str, tuple[Callable[[pd.DataFrame], Any], str]] = {
    "lengths": (
        lambda f: erawise.numerai_corr(f["a"].to_numpy(), f["target_20"].to_numpy()[1:], f["era"]),
        "target: 1,199 rows, and predictions",
    ),
    "indexes": (
        lambda f: erawise.mmc(f["a"], f["meta"].iloc[::-1], f["target_20"], f["era"]),
        r"such as meta_model.loc\[predictions.index\]",
    ),
    "column": (lambda f: erawise.score(f, "a", target="target_2"), "target: the frame has no column 'target_2'.*did you mean target_20?"),
    "prediction": (lambda f: erawise.score(f, "c", target="target_20"), "predictions: the frame has no column 'c'"),
    "no era": (lambda f: erawise.score(f.drop(columns="era"), "a", target="target_20"), "era: the frame has no column 'era'"),
    "NaN era": (lambda f: erawise.numerai_corr(f["a"], f["target_20"], f["era"].mask(f["era"] == "0002")), "era: missing in 40 rows"),
    "strange era": (lambda f: erawise.gaussianize(f["a"], f["era"].replace("0002", "X")), "era: 'X' is no era"),
    "text": (lambda f: erawise.numerai_corr(f["era"].replace("0002", "x"), f["a"], f["era"]), "predictions: expected numbers"),
    "infinite": (lambda f: erawise.numerai_corr(f["a"].replace(f["a"].iloc[1], np.inf), f["a"], f["era"]), "'a': infinite in 1 rows"),
    "infinite, neutralized": (lambda f: erawise.neutralize(f["b"] * np.inf, f[NAMES], f["era"]), "predictions: infinite in era 1"),
    "feature": (lambda f: erawise.neutralize(f["b"], f[["a"]], f["era"]), "features: column 'a' is missing or infinite in era 2"),
    "features span": (
        lambda f: erawise.neutralize(f["b"], np.zeros((len(f), 39), np.int8), f["era"]),
        "era 1 has 40 rows, which 39 features",
    ),
    "proportion": (lambda f: erawise.neutralize(f["b"], f[NAMES], f["era"], 50), "proportion: 50"),
    "horizon": (lambda f: erawise.score(f.rename(columns={"target_20": "target"}), "a"), "give days=20 or days=60"),
    "no table": (lambda f: erawise.score("data/validation.parquet"), "frame: str is no table with names"),
    "days": (lambda f: erawise.interval([0.1, 0.2], days=0), "days: 0; expected"),
    "eras twice": (lambda f: erawise.interval(pd.Series([0.1, 0.2], [1, 1]), days=20), "an era is there twice"),
    "series": (lambda f: erawise.compare([0.1, 0.2], [0.1], days=20), "after: 1 eras, and before has 2"),
    "statistic": (lambda f: erawise.compare([0.1], [0.1], days=20, statistic="median"), "statistic: 'median'"),  # type: ignore[arg-type]
    "score": (lambda f: erawise.score(f, "a", target="target_20").by_era("mmc"), "there is no 'mmc'; the data gives corr, spearman"),
    "name": (lambda f: erawise.score(f, "a", target="target_20").compare("a", "b"), "there is no prediction 'b'"),
    "a name twice": (lambda f: erawise.score(pd.concat([f, f[["a"]]], axis=1), "a", target="target_20"), "the table has column 'a' twice"),
    "lazy": (lambda f: erawise.score(polars().LazyFrame({"era": [1]}), "a"), "frame: LazyFrame is no table"),
    "empty": (lambda f: erawise.gaussianize([]), "values: there is no row"),
}


@pytest.mark.parametrize("fault", FAULTS)
def test_bad_input_ends_with_one_clear_line(fault: str, frame: pd.DataFrame) -> None:
    call, message = FAULTS[fault]
    with pytest.raises(InputError, match=message) as raised:
        call(frame)
    assert "\n" not in str(raised.value)


def test_the_top_level_loads_nothing_heavy() -> None:
    script = f"""
import sys
heavy = {HEAVY}
import erawise
assert not {{"numpy", "pandas", *heavy}} & set(sys.modules), "import"
assert set(erawise.__all__) <= set(dir(erawise))
for name in erawise.__all__:
    getattr(erawise, name)
import pandas as pd
frame = pd.DataFrame({{"era": [1] * 4, "target_20": [0, 1, 2, 4], "prediction": [1, 2, 3, 4]}})
repr(erawise.score(frame, target="target_20"))
print([name for name in heavy if name in sys.modules])
"""
    done = subprocess.run([sys.executable, "-c", script], cwd=ROOT, capture_output=True, text=True, check=False)
    assert done.stdout.strip() == "[]", done.stderr
    with pytest.raises(AttributeError, match="no attribute 'scores_of'"):
        _ = erawise.scores_of


def test_every_name_is_on_the_page_of_the_top_level_and_has_an_example_that_runs() -> None:
    page = (ROOT / "docs/api/erawise.md").read_text(encoding="utf-8")
    tests = []
    for name in erawise.__all__:
        assert re.search(rf"\b{name}\b", page), f"{name} is missing in docs/api/erawise.md"
        found = getattr(erawise, name)
        owner = type(found) if name == "era_corr_scorer" else found
        if inspect.isfunction(found):
            assert {"Parameters", "Returns", "Raises"} <= set(re.findall(r"(\w+)\n *-{3,}\n", found.__doc__ or "")), name
        if name != "Panel":
            examples = doctest.DocTestFinder(recurse=False).find(owner, name, module=importlib.import_module(owner.__module__))
            assert examples
            assert examples[0].examples, f"{name} has no example"
            tests += examples
    runner = doctest.DocTestRunner(verbose=False)
    for each in tests:
        runner.run(each)
    assert runner.summarize(verbose=False).failed == 0


def test_the_code_of_the_page_on_notebooks_runs(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    rng = np.random.default_rng(0)
    eras, rows = 100, 10
    values = {name: rng.integers(0, 5, eras * rows).astype(np.int8) for name in NAMES}
    data = pd.DataFrame(values, pd.Index([f"n{k}" for k in range(eras * rows)], name="id"))
    data = data.assign(era=np.repeat([f"{era:04d}" for era in range(1, eras + 1)], rows), target_ender_60=data["feature_0"] / 4)
    (tmp_path / "v5.3").mkdir()
    for name in ("train", "validation"):
        data.to_parquet(tmp_path / f"v5.3/{name}.parquet")
    drawn = {name: rng.normal(size=len(data)) for name in ("mine", "yours", "numerai_meta_model")}
    pd.DataFrame(drawn, data.index)[["mine", "yours"]].to_parquet(tmp_path / "predictions.parquet")
    pd.DataFrame(drawn, data.index)[["numerai_meta_model"]].to_parquet(tmp_path / "v5.3/meta_model.parquet")
    (tmp_path / "v5.3/features.json").write_text(json.dumps({"feature_sets": {"small": NAMES}}))
    monkeypatch.chdir(tmp_path)
    page = (ROOT / "docs/howto/notebook.md").read_text(encoding="utf-8")
    names: dict[str, Any] = {}
    for block in re.findall(r"^```python\n(.*?)^```$", page, re.DOTALL | re.MULTILINE):
        exec(block, names)
    assert names["scores"].names == ["mine", "yours"]
    assert names["search"].best_score_ > 0.9
    assert names["neutral"].notna().all()
