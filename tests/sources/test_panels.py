"""Panels of other layouts than Numerai's: what a schema turns them into, bad input, and one from its files to the report."""

import json
import re
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest
import raw
import small
from closure import ROOT
from numpy.typing import NDArray
from scipy import stats
from workspace import Workspace

from erawise.base import files
from erawise.base.settings import Score
from erawise.charts import figures
from erawise.evaluation import objectives
from erawise.preparation import preparation
from erawise.report import drawing
from erawise.running.errors import InputError
from erawise.scores import kernels
from erawise.scores.eras import Known, score_eras
from erawise.sources import layout
from erawise.sources.local import panels
from erawise.sources.local.settings import Schema

PAGE = ROOT / "docs/howto/any-panel.md"
WEEKS, IDS, HORIZON = 12, 6, 3

SCHEMA: dict[str, Any] = {
    "files": "rows.parquet",
    "validation_eras": 3,
    "id": "ticker",
    "era": "date",
    "spacing": 7,
    "target": "gain",
    "horizon": HORIZON,
    "features": ["size", "value"],
    "kind": "floats",
    "score": "spearman",
}


def draw() -> pd.DataFrame:
    """Draw rows in no order; the targets of the last eras are missing, and one week has no row."""
    rng = np.random.default_rng(3)
    dates = pd.date_range("2024-01-05", periods=WEEKS + 1, freq="7D").delete(4)
    rows = pd.DataFrame({"date": dates.repeat(IDS), "ticker": [f"T{k}" for k in range(IDS)] * WEEKS})
    rows["gain"] = np.where(np.arange(len(rows)) < (WEEKS - HORIZON) * IDS, rng.normal(size=len(rows)), np.nan)
    rows["size"], rows["value"] = rng.normal(5, 2, len(rows)), rng.random(len(rows))
    return rows.sample(frac=1, random_state=1)


def translate(directory: Path, rows: pd.DataFrame, changes: dict[str, Any] | None = None) -> tuple[list[str], Path]:
    """Write rows and translate them; return the lines and the directory of the result."""
    source, out = directory / "source", directory / "raw"
    for path in (source, out):
        path.mkdir(parents=True, exist_ok=True)
    rows.to_parquet(source / "rows.parquet", index=False)
    return panels.write(Schema(**SCHEMA | (changes or {})), source, out), out


def read(out: Path) -> dict[str, pd.DataFrame]:
    return {name: pd.read_parquet(out / f"{name}.parquet") for name in ("train", "validation", "live")}


def test_a_panel_of_dates_becomes_files_in_numerais_layout(tmp_path: Path) -> None:
    rows = draw()
    told, out = translate(tmp_path, rows)
    layout.check_all(out)
    found = read(out)
    assert [table["era"].unique().tolist() for table in found.values()] == [
        ["0001", "0002", "0003", "0004", "0006", "0007"],
        ["0008", "0009", "0010", "0011", "0012"],
        ["X"],
    ]
    assert found["validation"].groupby("era")["target"].count().tolist() == [IDS, IDS, IDS, 0, 0]
    assert "target" not in found["live"]
    first = rows[rows["date"] == "2024-01-05"].sort_values("ticker")
    own = found["train"][found["train"]["era"] == "0001"]
    assert own["id"].tolist() == first["ticker"].tolist()
    np.testing.assert_allclose(own["feature_value"], first["value"], rtol=1e-6)
    np.testing.assert_allclose(own["feature_size"], (first["size"].rank() - 0.5) / IDS, rtol=1e-6)
    labels = pd.read_csv(out / layout.ERAS, index_col="era")["label"]
    assert labels[6] == "2024-02-09"
    assert layout.named_eras(out, [1, 6]) == [f"eras 1 to 6 are 2024-01-05 to 2024-02-09; {out / layout.ERAS} names the others"]
    assert layout.own_panel(out / layout.FEATURES) == layout.OwnPanel(5 * HORIZON, "spearman")
    assert [line.partition(":")[0] for line in told] == ["eras", "gain", "features", "live"]


@pytest.mark.parametrize("score", ["numerai", "spearman", "pearson"])
def test_bringing_a_target_to_its_scale_changes_no_score(tmp_path: Path, score: Score) -> None:
    rows = draw()
    found = pd.concat(list(read(translate(tmp_path, rows, {"score": score})[1]).values())[:2]).dropna(subset=["target"])
    before = rows.dropna(subset=["gain"]).sort_values(["date", "ticker"])
    assert found["target"].between(0, 1).all()
    for era in range(0, len(found), IDS):
        x, own = (np.arange(IDS)[:, None] % 4).astype(np.float64), slice(era, era + IDS)
        first, second = (values.to_numpy(np.float64)[own] for values in (before["gain"], found["target"]))
        expected = kernels.correlation(score, x, first, float(first.mean()))
        assert kernels.correlation(score, x, second, float(second.mean())) == pytest.approx(expected, rel=1e-5)


@pytest.mark.parametrize(
    ("label", "spacing", "number"),
    [
        (lambda week: f"era{week}", None, 1),
        (lambda week: week, None, 1),
        (lambda week: float(week), None, 1),
        (lambda week: f"{week:04d}", None, 1),
        (lambda week: int(f"202401{week:02d}"), 1, 1),
        (lambda week: f"2024-01-{week:02d}", None, 1),
        (lambda week: pd.Timestamp(2024, 1, week), 1, 1),
        (lambda week: pd.Timestamp(2024, 1, week).date(), 1, 1),
    ],
)
def test_eras_may_be_numbers_or_dates(tmp_path: Path, label: Callable[[int], Any], spacing: int | None, number: int) -> None:
    rows = draw()
    week = rows["date"].rank(method="dense").astype(int)
    _, out = translate(tmp_path, rows.assign(date=[label(one) for one in week]), {"spacing": spacing})
    assert read(out)["train"]["era"].astype(int).unique().tolist() == list(range(number, number + 6))


def test_a_csv_file_with_live_rows_of_its_own_and_predictions_of_others(tmp_path: Path) -> None:
    rows = draw().assign(crowd=0.5, naive=0.25)
    source, out = tmp_path / "source", tmp_path / "raw"
    source.mkdir()
    out.mkdir()
    last = rows["date"].max()
    parts = {
        "train": rows[rows["date"] < "2024-02-10"],
        "validation": rows[rows["date"].between("2024-02-10", "2024-03-20")],
        "live": rows[rows["date"] == last].drop(columns=["gain", "crowd"]),
    }
    for name, table in parts.items():
        table.to_csv(source / f"{name}.csv", index=False)
    changes = {"files": {name: f"{name}.csv" for name in parts}, "validation_eras": None, "meta_model": "crowd", "benchmarks": ["naive"]}
    panels.write(Schema(**SCHEMA | changes), source, out)
    assert {name: len(table) for name, table in read(out).items()} == {"train": 5 * IDS, "validation": 5 * IDS, "live": IDS}
    assert len(pd.read_parquet(out / "meta_model.parquet")) == 10 * IDS
    assert pd.read_parquet(out / "live_benchmark_models.parquet")["naive"].eq(0.25).all()


def test_the_last_era_stands_for_live_rows_if_all_are_resolved(tmp_path: Path) -> None:
    told, out = translate(tmp_path, draw().dropna(subset=["gain"]))
    found = read(out)
    assert found["live"]["id"].tolist() == found["validation"].query("era == '0010'")["id"].tolist()
    assert "the last, 2024-03-08, stands for live rows too" in told[-1]


def test_eras_without_a_target_before_resolved_ones_are_left_out_and_told(tmp_path: Path) -> None:
    rows = draw()
    rows.loc[rows["date"] == "2024-01-12", "gain"] = np.nan
    told, out = translate(tmp_path, rows)
    assert "0002" not in read(out)["train"]["era"].to_numpy()
    assert told[-1] == f"1 eras without any target, {IDS} rows, left out: later eras are resolved"


Change = Callable[[pd.DataFrame], pd.DataFrame]


def _first(column: str, value: Any) -> Change:
    return lambda rows: rows.assign(**{column: [value, *rows[column].iloc[1:]]})


@pytest.mark.parametrize(
    ("change", "schema", "message"),
    [
        (lambda rows: rows.drop(columns="size"), {}, "column 'size', which the schema names as features, is missing; it has date, ticker"),
        (lambda rows: rows, {"features": "factor_*"}, "no column is named like features, 'factor_*'; it has date, ticker"),
        (lambda rows: rows, {"target": "alpha"}, "column 'alpha', which the schema names as target, is missing"),
        (_first("date", "soon"), {}, "column 'date' holds 'soon'; expected a date such as 2024-01-31, or a number such as 0012"),
        (_first("date", "2024-02-31"), {}, "column 'date' holds '2024-02-31'; expected a date"),
        (_first("date", 12), {}, "column 'date' holds dates and numbers, such as 2024-"),
        (lambda rows: rows.assign(date=3), {}, "column 'date' holds numbers such as 3, and spacing is of dates; set spacing: null"),
        (_first("date", "2024-01-09"), {}, "era 2024-01-09 is 4 days after the first, 2024-01-05, which is no multiple of spacing, 7 days"),
        (lambda rows: pd.concat([rows, rows[:2]]), {}, "is there more than once in era 2024-"),
        (_first("ticker", None), {}, "row 0 has no 'ticker'; expected an id in each row"),
        (lambda rows: rows.assign(ticker=np.arange(len(rows)) / 2), {}, "column 'ticker' holds 0.0; expected ids as text or whole numbers"),
        (lambda rows: rows.assign(gain=np.nan), {}, "no row has the target 'gain'; expected numbers in the eras that are resolved"),
        (lambda rows: rows, {"validation_eras": 9}, "9 eras are the final check, and 9 eras have the target; expected fewer"),
        (_first("size", np.inf), {}, "column 'size' is infinite in row 0; expected finite numbers, or nothing"),
        (lambda rows: rows.assign(size="0,5"), {}, "column 'size' holds '0,5'; expected numbers with decimal points, or nothing"),
        (lambda rows: rows, {"kind": "bins"}, "expected bins, whole numbers 0 to 4 or steps 0, .25, ... 1; set kind: floats"),
        (lambda rows: rows[:0], {}, "there are no rows"),
        (lambda rows: rows.assign(feature_size=1.0), {"features": ["size", "feature_size"]}, "two columns would be 'feature_size'"),
    ],
)
def test_bad_files_are_one_clear_line(tmp_path: Path, change: Change, schema: dict[str, Any], message: str) -> None:
    rows = change(draw())
    rows = rows.astype({"date": str}) if rows["date"].dtype == object else rows
    with pytest.raises(InputError, match=re.escape(message)) as caught:
        translate(tmp_path, rows, schema)
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"score": "kendall"}, "score: Input should be 'numerai', 'spearman' or 'pearson' (it is 'kendall')"),
        ({"scores": "pearson"}, "scores: unknown key; there are"),
        ({"horizon": None}, "horizon: a target whose score is spearman isn't Numerai's; expected the eras that it looks ahead"),
        ({"validation_eras": None}, "validation_eras: expected the number of the last resolved eras"),
        ({"targets": ["gain"]}, "column 'gain' is named more than once"),
        ({"kind": "ranks"}, "kind: Input should be 'bins' or 'floats' (it is 'ranks')"),
        ({"horizon": 0}, "horizon: Input should be greater than or equal to 1 (it is 0)"),
    ],
)
def test_a_wrong_schema_is_one_clear_line(tmp_path: Path, change: dict[str, Any], message: str) -> None:
    path = tmp_path / "schema.yaml"
    files.write_json(SCHEMA | change, path)
    with pytest.raises(InputError, match=f"^{re.escape(f'{path}: {message}')}"):
        panels.read_schema(path)


def test_a_schema_that_is_no_yaml_or_lacks_a_key_is_told(tmp_path: Path) -> None:
    path = tmp_path / "schema.yaml"
    path.write_text("files: [", encoding="utf-8")
    with pytest.raises(InputError, match="not readable as YAML"):
        panels.read_schema(path)
    files.write_json({key: value for key, value in SCHEMA.items() if key != "era"}, path)
    with pytest.raises(InputError, match="era: the key is missing"):
        panels.read_schema(path)


def test_the_schema_that_ships_describes_numerais_layout(tmp_path: Path) -> None:
    source, out = tmp_path / "source", tmp_path / "raw"
    raw.write(source, train=range(1, 21), validation=range(21, 31), rows=10)
    described = files.read_json(source / layout.FEATURES)
    files.write_json(described | {"feature_sets": {"all": described["feature_sets"]["all"]}}, source / layout.FEATURES)
    out.mkdir()
    panels.write(panels.read_schema(ROOT / "erawise/sources/local/numerai.yaml"), source, out)
    prepared = []
    for place in (source, out):
        directory = tmp_path / f"prepared-{place.name}"
        directory.mkdir()
        preparation.prepare(place, directory, preparation.Wanted("all", "target", every=1, demean=False, derived=[]))
        prepared.append({path.relative_to(directory): path.read_bytes() for path in sorted(directory.rglob("*")) if path.is_file()})
    assert prepared[0] == prepared[1]


def _ties(rng: np.random.Generator, shape: tuple[int, ...]) -> NDArray[np.float64]:
    return rng.integers(0, 6, shape) / 4 + rng.normal(size=shape).round(1)


@pytest.mark.parametrize(("score", "reference"), [("spearman", stats.spearmanr), ("pearson", stats.pearsonr)])
def test_scores_of_ranks_and_of_values_are_those_of_scipy(score: Score, reference: Callable[..., Any]) -> None:
    rng = np.random.default_rng(5)
    rows = 300
    x, target = _ties(rng, (3 * rows, 2)), _ties(rng, (3 * rows,))
    x[:5, 0], target[rows - 3 : rows], x[2 * rows :, 1] = np.nan, np.nan, 1.0
    era = np.repeat([1, 2, 3], rows)
    found = score_eras(pd.DataFrame(x, columns=["a", "b"]), target, era, Known(score=score, early=target))
    for row in found.itertuples():
        own = (era == row.era) & ~np.isnan(target) & ~np.isnan(x[:, "ab".index(row.prediction)])
        if row.constant:
            assert np.isnan(row.corr)
        else:
            expected = reference(x[own, "ab".index(row.prediction)], target[own]).statistic
            assert row.corr == pytest.approx(expected, abs=1e-12)
            assert row.early_corr == row.corr


@pytest.mark.parametrize("score", ["spearman", "pearson"])
def test_a_search_and_the_weights_look_at_the_same_score(score: Score) -> None:
    rng = np.random.default_rng(6)
    index = pd.DataFrame({"id": list("abcdefgh") * 2, "era": np.repeat([1, 2], 8)})
    frame, target = index.assign(prediction=_ties(rng, (16,))), _ties(rng, (16,))
    goal = objectives.by_corr(target, score)
    _, values = objectives.by_era(frame, index, goal)
    eras = objectives.usable_eras(frame[["prediction"]].to_numpy(), index["era"].to_numpy(), goal)
    blends = frame["prediction"].to_numpy().reshape(2, 8, 1)
    assert [era.values(blend, {"corr": 1.0})[0] for era, blend in zip(eras, blends, strict=True)] == pytest.approx(values)


def test_settings_that_say_otherwise_are_one_clear_line(tmp_path: Path) -> None:
    _, out = translate(tmp_path, draw())
    wanted = preparation.Wanted("all", "target", every=1, demean=False, derived=[], days=20)
    with pytest.raises(
        InputError, match=r"data.target_horizon: 20 trading days, and data.schema has a horizon of 3 eras, .* 15 days; set it"
    ):
        preparation.prepare(out, tmp_path, wanted)
    with pytest.raises(InputError, match=r"^tuning.objective: payout is Numerai's, and data.schema describes another panel; set"):
        objectives.goal("payout", "tuning.objective", np.array([1]), np.array([0.5]), {}, dict, "spearman")


def blocks(language: str) -> list[str]:
    """Return the blocks of a language on the page."""
    return re.findall(rf"^```{language}\n(.*?)^```$", PAGE.read_text(encoding="utf-8"), re.DOTALL | re.MULTILINE)


@pytest.mark.parametrize(("number", "spacing", "id"), [(1, 7, "numerai_ticker"), (2, 1, "symbol")])
def test_the_pages_schemas_fit_files_of_signals_and_crypto(tmp_path: Path, number: int, spacing: int, id: str) -> None:
    source, out = tmp_path / "source", tmp_path / "raw"
    source.mkdir()
    out.mkdir()
    schema = source / "schema.yaml"
    schema.write_text(blocks("yaml")[number], encoding="utf-8")
    rng = np.random.default_rng(number)
    days = pd.date_range("2023-01-06", periods=400, freq=f"{spacing}D").strftime("%Y-%m-%d")
    rows = pd.DataFrame({id: ["A", "B", "C"] * len(days), "date": days.repeat(3), "target": rng.choice([0, 0.25, 0.5, 0.75, 1], 1200)})
    rows["feature_country"] = "US"
    for name in ("feature_rsi_60d", "feature_value_factor", "market_cap", "volume"):
        rows[name] = rng.normal(size=len(rows))
    rows["target_factor_neutral"], rows["data_type"] = rows["target"], "train"
    parts = {"train": rows[:600], "validation": rows[600:1197].assign(data_type="validation"), "live": rows[1197:].assign(data_type="live")}
    rows.loc[len(rows) - 90 :, "target"] = np.nan
    for name, table in parts.items():
        table.to_parquet(source / f"{name}.parquet", index=False)
    rows.to_parquet(source / "crypto.parquet", index=False)
    panels.write(panels.read_schema(schema), source, out)
    layout.check_all(out)
    assert all(len(table) for table in read(out).values())
    assert "feature_country" not in layout.feature_sets(out / "features.json")["all"]


def test_the_pages_panel_runs_to_the_report(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> None:
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(figures, "drawing", lambda *_: pytest.fail("the pictures of plots/ aren't drawn here"))
    monkeypatch.setattr(drawing, "svg", lambda figure, spec, datasets: json.dumps([spec, datasets]))  # its words without the drawing
    monkeypatch.setattr(drawing, "vega", lambda spec: spec)
    monkeypatch.setattr(drawing, "library", str)
    exec(compile(blocks("python")[0], str(PAGE), "exec"), {})
    (tmp_path / "mine/schema.yaml").write_text(blocks("yaml")[0], encoding="utf-8")
    shutil.copyfile(ROOT / "params.yaml", tmp_path / "params.yaml")
    workspace = Workspace(tmp_path)

    def settings(content: Any) -> None:
        content["models"] = {"ridge": content["models"]["ridge"]}
        small.change_all(content)
        content["data"].update(source="local", schema="schema.yaml", local={"path": "mine"})
        content["select_features"].update(method="none")

    workspace.change(settings)
    workspace.run("check", "download", "preprocess", "explore", "split", "select_features", "tune", "train ridge")
    workspace.run("explain ridge", "ensemble", "neutralize", "evaluate", "copy_scores")
    capsys.readouterr()
    workspace.run("show", "report", "score data/predictions/models/ridge.parquet --features none")
    said, page = capsys.readouterr().out, (tmp_path / "report.html").read_text(encoding="utf-8")

    plan = json.loads((tmp_path / "data/folds.json").read_text())["horizons"]["15"]
    assert min(plan["validation"]) - max(plan["train"]) == HORIZON + 4 + 1
    corr = pd.read_parquet(tmp_path / "data/scores/cv.parquet").query("prediction == 'ridge'").set_index("era")["corr"]
    rows = pd.read_parquet(tmp_path / "mine/returns.parquet").set_index(["symbol", "friday"])["return_3w"]
    own = workspace.predictions("models/ridge").query("split == 'cv' and era == 20").set_index("id")["prediction"]
    friday = pd.read_csv(tmp_path / "data/raw/eras.csv", index_col="era")["label"][20]
    expected = stats.spearmanr(own, rows.xs(pd.Timestamp(friday), level="friday")[own.index]).statistic
    assert corr[20] == pytest.approx(expected, abs=1e-6)
    assert workspace.metrics("cv")["ridge"]["corr"]["low"] > 0
    assert not {"mmc", "bmc", "payout", "payout_bmc"} & set(workspace.metrics("cv")["ridge"])
    said, scored = said.split("Scores against target")
    mean = np.mean(
        [block["corr"]["mean"] * block["eras"] for block in (workspace.metrics(split)["ridge"] for split in ("cv", "validation"))]
    )
    assert f"{2 * mean / 130:.4f}" in scored
    for text in (said, scored, page):
        assert "Spearman" in text
        assert not re.search(r"\bCORR\b", text)
        assert "no regime pays for it" in text
    assert "2021-01-01" in said
    assert "2021-01-01" in page
