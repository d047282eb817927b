"""`erawise score`: every form of a file of predictions, the scores of the pipeline, and one clear line for each spoiled input."""

import csv
import gzip
import io
import json
import re
import shutil
from collections.abc import Callable
from decimal import Decimal
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import pandas as pd
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
import raw
from closure import ROOT
from workspace import command

from erawise.evaluation import summary
from erawise.models.predictions import given, prediction_files
from erawise.models.predictions.settings import Predictions
from erawise.panel import rawfiles
from erawise.preparation import preparation
from erawise.running.errors import InputError
from erawise.scores.eras import Known, score_eras
from erawise.scoring import scored_files, scored_tables
from erawise.scoring.outcomes import Wishes
from erawise.scoring.scored_files import How

ERAS, ROWS = range(61, 111), 20
BENCHMARK = "v53_lgbm_other20"


@pytest.fixture(scope="module")
def data(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Write a directory with a validation file, a benchmark model and a meta model of the last eras, and nothing else."""
    directory = tmp_path_factory.mktemp("data")
    frame = raw.frame(ERAS, ROWS, 4, "validation", 2)
    frame.set_index("id").to_parquet(directory / "validation.parquet")
    rng = np.random.default_rng(1)
    for name, column, first in (("validation_benchmark_models", BENCHMARK, 61), ("meta_model", "numerai_meta_model", 81)):
        other = frame[["id", "era"]].assign(**{column: frame["feature_0"] / 4 + rng.normal(size=len(frame))})
        other[other["era"].astype(int) >= first].set_index("id").to_parquet(directory / f"{name}.parquet")
    return directory


@pytest.fixture(scope="module")
def rows(data: Path) -> pd.DataFrame:
    """Return `id`, `era` and two predictions of every row."""
    frame = pd.read_parquet(data / "validation.parquet").reset_index()[["id", "era", "feature_0"]]
    noise = np.random.default_rng(3).uniform(size=(2, len(frame)))
    return frame[["id", "era"]].assign(mine=(frame["feature_0"] / 4 + noise[0]) / 2, other=noise[1])


PLAIN = Wishes(features="none")


def scored(path: Path, data: Path, wishes: Wishes = PLAIN, **how: Any) -> scored_files.Scored:
    return scored_files.score_files([path], data, wishes, How(**how))


# ---- the scores


def test_the_scores_are_the_scores_of_the_library(data: Path, rows: pd.DataFrame, tmp_path: Path) -> None:
    rows.sample(frac=1, random_state=0).to_parquet(tmp_path / "mine.parquet", index=False)
    found = scored(tmp_path / "mine.parquet", data, Wishes())
    truth = pd.read_parquet(data / "validation.parquet")
    era = truth["era"].astype(int).to_numpy()
    others = [pd.read_parquet(data / f"{name}.parquet") for name in ("meta_model", "validation_benchmark_models")]
    meta, benchmark = (other.drop(columns="era").iloc[:, 0].reindex(truth.index).to_numpy() for other in others)
    features = truth.filter(like="feature_").to_numpy()
    early = truth["target_other_20"].to_numpy(np.float64)
    known = Known(meta, benchmark, features=lambda number: features[era == number])
    expected = score_eras(rows[["mine", "other"]], early, era, known)
    for column in ("corr", "spearman", "mmc", "bmc", "fnc", "exposure_max", "auc_top"):
        np.testing.assert_allclose(found.eras[column], expected[column], atol=1e-12, err_msg=column)
    assert found.outcomes.equal == "target_other_20"
    assert found.summary["mine"]["corr"] == summary.summarize(expected, 20)["mine"]["corr"]
    assert [(row["prediction"], row["against"]) for row in found.pairs] == [
        ("mine", BENCHMARK),
        ("mine", "numerai_meta_model"),
        ("other", BENCHMARK),
        ("other", "numerai_meta_model"),
        ("other", "mine"),
    ]
    assert found.pairs[-1]["difference"] == pytest.approx(
        expected.groupby("prediction")["corr"].mean().loc["other"] - found.pairs[0]["mean"]
    )
    assert {"corr_mmc_2024", "corr_mmc_2026"} <= set(found.regimes)


def _indexed(frame: pd.DataFrame, path: Path) -> None:
    frame.set_index("id").to_parquet(path)


def _unnamed_index(frame: pd.DataFrame, path: Path) -> None:
    indexed = frame.set_index("id")
    indexed.index.name = None
    indexed.to_parquet(path)


def _like_polars(frame: pd.DataFrame, path: Path) -> None:
    table = pa.table({name: pa.array(frame[name]) for name in frame})
    table = table.set_column(0, "id", table["id"].cast(pa.large_string()).dictionary_encode())
    pq.write_table(table.replace_schema_metadata(None), path, row_group_size=123)


def _like_duckdb(frame: pd.DataFrame, path: Path) -> None:
    mine = pa.array([Decimal(f"{value:.17f}") for value in frame["mine"]], pa.decimal128(20, 17))
    pq.write_table(pa.table({"id": frame["id"], "era": frame["era"], "mine": mine, "other": frame["other"].to_numpy()}), path)


FORMS: dict[str, Callable[[pd.DataFrame, Path], object]] = {
    "column": lambda frame, path: frame.to_parquet(path, index=False),
    "index": _indexed,
    "unnamed index": _unnamed_index,
    "polars": _like_polars,
    "duckdb": _like_duckdb,
    "no era": lambda frame, path: frame.drop(columns="era").to_parquet(path),
    "era as int": lambda frame, path: frame.assign(era=frame["era"].astype(int)).to_parquet(path),
    "era12": lambda frame, path: frame.assign(era="era" + frame["era"].str.lstrip("0")).to_parquet(path),
    "csv": lambda frame, path: frame.to_csv(path, index=False),
    "csv with index": lambda frame, path: frame.to_csv(path),
    "csv with ids as unnamed index": lambda frame, path: frame.set_index("id").rename_axis(None).to_csv(path),
    "csv with a mark": lambda frame, path: frame.to_csv(path, index=False, encoding="utf-8-sig"),
    "csv, windows": lambda frame, path: frame.to_csv(path, index=False, lineterminator="\r\n"),
    "csv in gzip": lambda frame, path: frame.to_csv(path, index=False, compression="gzip"),
    "with a text column": lambda frame, path: frame.assign(symbol="AAPL").to_csv(path, index=False),
    "repeated rows": lambda frame, path: pd.concat([frame, frame[:30]]).to_csv(path, index=False),
    "with live rows": lambda frame, path: pd.concat([frame, frame[:5].assign(era="X", id=list("abcde"))]).to_csv(path, index=False),
    "live rows without era": lambda frame, path: pd.concat([frame, frame[:5].assign(era=None, id=list("abcde"))]).to_parquet(path),
}
"""Ways in which a file is written that all give the same scores."""


@pytest.fixture(scope="module")
def plain(data: Path, rows: pd.DataFrame, tmp_path_factory: pytest.TempPathFactory) -> scored_files.Scored:
    """Score a plain file of the predictions."""
    path = tmp_path_factory.mktemp("plain") / "plain.parquet"
    rows.to_parquet(path, index=False)
    return scored(path, data)


@pytest.mark.parametrize("form", FORMS)
def test_every_form_of_a_file_gives_the_same_scores(
    form: str, data: Path, rows: pd.DataFrame, plain: scored_files.Scored, tmp_path: Path
) -> None:
    FORMS[form](rows, tmp_path / "mine")
    found = scored(tmp_path / "mine", data)
    np.testing.assert_allclose(found.eras["corr"], plain.eras["corr"], atol=1e-12)
    assert list(found.summary) == ["mine", "other"]


def test_ids_that_are_whole_numbers_match_the_same_numbers_as_text(data: Path, rows: pd.DataFrame, tmp_path: Path) -> None:
    numbers = np.arange(len(rows))
    (tmp_path / "data").mkdir()
    pd.read_parquet(data / "validation.parquet").reset_index().assign(id=numbers.astype(str)).to_parquet(
        tmp_path / "data/validation.parquet"
    )
    rows.assign(id=numbers).to_parquet(tmp_path / "mine.parquet", index=False)
    found = scored(tmp_path / "mine.parquet", tmp_path / "data")
    assert found.coverage["mine"].unknown == found.coverage["mine"].missing == 0


def test_rows_that_do_not_fit_are_counted_and_told(data: Path, rows: pd.DataFrame, tmp_path: Path) -> None:
    frame = rows.copy()
    frame.loc[frame["era"] == "0061", "mine"] = 0.5
    frame.loc[frame.index[-10:], "mine"] = np.nan
    frame.loc[frame.index[30], "mine"] = 1.5
    conflicting = frame[40:42].assign(mine=0.123)
    unknown = frame[50:53].assign(id=["x", "y", "z"])
    elsewhere = frame[50:54].assign(era="0007")
    pd.concat([frame, conflicting, unknown, elsewhere]).to_parquet(tmp_path / "mine.parquet", index=False)
    found = scored(tmp_path / "mine.parquet", data)
    own = found.coverage["mine"]
    assert (own.rows, own.unknown, own.other_eras, own.duplicates, own.conflicts, own.constant) == (len(rows) + 9, 3, 4, 2, 2, 1)
    assert own.missing == ROWS + 10 + 2
    assert own.outside == 1
    told = next(line for line in found.lines if line.startswith("mine: "))
    assert "3 ids that the data lacks; 4 rows of eras that the data lacks" in told
    assert "1 eras with one value, without scores" in told
    with pytest.raises(InputError, match=r"mine: 32 of 1,000 rows of its 50 eras \(3.2%\) have no prediction, more than 1.0%"):
        scored(tmp_path / "mine.parquet", data, max_missing_share=0.01)


# ---- the command


def test_the_example_of_the_page_runs(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> None:
    raw.write(tmp_path / "data/raw", train=range(1, 3), validation=range(3, 43), rows=20, features=4)
    monkeypatch.chdir(tmp_path)
    page = (ROOT / "docs/howto/score.md").read_text(encoding="utf-8")
    [program] = re.findall(r"^```python\n(.*?)^```$", page, re.DOTALL | re.MULTILINE)
    exec(program, {})
    [line] = re.findall(r"^```\nerawise (.*)\n```$", page, re.MULTILINE)
    command(*line.split())
    assert "Scores against target" in capsys.readouterr().out
    [example] = re.findall(r"^```json\n(.*?)^```$", page, re.DOTALL | re.MULTILINE)
    assert set(json.loads(example)["predictions"]["plain"]["corr"]) == set(scored_tables.STATISTICS)


def test_the_command_needs_no_checkout_and_prints_every_form(
    data: Path, rows: pd.DataFrame, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.chdir(tmp_path)
    (tmp_path / "params.yaml").write_text("no: settings\n")
    rows.to_csv("mine.csv", index=False)
    rows[["id", "mine"]].rename(columns={"mine": "prediction"}).to_parquet("second.parquet")
    words = ["score", "mine.csv", "second.parquet", "--data", str(data), "--features", "none"]
    command(*words, "--json")
    content = json.loads(capsys.readouterr().out)
    assert content["eras"] == len(ERAS)
    assert list(content["predictions"]) == ["mine", "other", "second"]
    corr = content["predictions"]["mine"]["corr"]
    assert set(corr) == {"mean", "std", "sharpe", "max_drawdown", "low", "high"}
    assert corr == content["predictions"]["second"]["corr"]
    assert corr["low"] < corr["mean"] < corr["high"]
    command(*words, "--csv", "--report", "page.html")
    table = list(csv.DictReader(io.StringIO(capsys.readouterr().out)))
    assert [row["corr"] for row in table if row["table"] == "mean" and row["prediction"] == "mine"] == [str(corr["mean"])]
    assert sum(row["table"] == "eras" for row in table) == 3 * len(ERAS)
    page = Path("page.html").read_text(encoding="utf-8")
    drawn = page.partition("<svg")[2].partition("</svg>")[0]
    assert all(f">{name}</text>" in drawn for name in ("mine", "other", "second")), "the picture names its lines"
    assert "http://" not in page.replace("http://www.w3.org", "")
    assert "<script" not in page
    command(*words, "--against", "meta-model", "--score", "sharpe")
    text = capsys.readouterr().out
    assert "numerai_meta_model" in text
    assert BENCHMARK not in text.partition("Payout")[0].partition("Differences")[2]


def test_without_data_it_asks_for_a_checkout_or_for_prepared_data(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.chdir(tmp_path)
    for words, told in ((["score", "a.csv"], "no checkout of the pipeline"), (["score"], "There is no file to score")):
        with pytest.raises(SystemExit):
            command(*words)
        assert told in capsys.readouterr().err
    (tmp_path / "params.yaml").touch()
    (tmp_path / "a.csv").write_text("id,p\nn1,0.5\n")
    with pytest.raises(SystemExit):
        command("score", "a.csv")
    assert "the data isn't prepared; run `dvc repro preprocess`, or give a directory of raw files by --data" in capsys.readouterr().err


def test_wrong_names_are_found_before_any_row_is_read(
    data: Path, rows: pd.DataFrame, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    rows.to_parquet(tmp_path / "mine.parquet", index=False)

    def refused(*_: object) -> None:
        raise AssertionError("rows were read")

    monkeypatch.setattr(rawfiles, "column", refused)
    names: dict[str, tuple[dict[str, Any], dict[str, Any]]] = {
        "--columns names 'mein'.*did you mean mine?": ({}, {"columns": ("mein",)}),
        "--columns names 'era', which holds no numbers": ({}, {"columns": ("era",)}),
        "--target: .* has no target 'targte'; it has .*did you mean target?": ({"target": "targte"}, {}),
        f"--benchmark: .* has no benchmark model 'v52'; it has {BENCHMARK}": ({"benchmark": "v52"}, {}),
        "--features: .* has no feature set 'smal'": ({"features": "smal"}, {}),
        "--against: there is no prediction 'theirs'; there are each-other, benchmark, meta-model": ({}, {"against": ("theirs",)}),
        "regime 'v9': no regime has this id": ({"regime": "v9"}, {}),
    }
    for message, (wishes, how) in names.items():
        with pytest.raises(InputError, match=message):
            scored(tmp_path / "mine.parquet", data, Wishes(**wishes), **how)


def test_the_prepared_data_of_a_checkout_gives_the_scores_of_its_raw_files(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    frames = raw.write(tmp_path / "data/raw", train=range(1, 5), validation=range(5, 61), rows=20, features=4)
    both = pd.concat([frames["train"], frames["validation"]])
    other = both[["id", "era"]].assign(v53_lgbm_other20=np.random.default_rng(0).uniform(size=len(both)))
    other.to_parquet(tmp_path / "data/raw/validation_benchmark_models.parquet", index=False)
    both[["id"]].assign(p=np.random.default_rng(1).uniform(size=len(both))).to_csv(tmp_path / "p.csv", index=False)
    shutil.copy(ROOT / "params.yaml", tmp_path)
    (tmp_path / "data/prepared").mkdir()
    preparation.prepare(tmp_path / "data/raw", tmp_path / "data/prepared", preparation.Wanted("all", "target", 1, False, []))
    monkeypatch.chdir(tmp_path)
    found = []
    for more in ([], ["--data", "data/raw"], ["--benchmark", "v53_lgbm_other20"]):
        command("score", "p.csv", "--json", *more)
        found.append(json.loads(capsys.readouterr().out))
    assert found[0]["predictions"] == found[1]["predictions"]
    assert {"corr", "bmc", "fnc", "exposure_max"} <= set(found[0]["predictions"]["p"])
    notes = ["\n".join(one["notes"]) for one in found]
    assert "56 eras of the final check are among them, look 1 at these eras: choosing" in notes[0]
    assert "final check" not in notes[1], "files of one's own are no checkout's"
    assert "look 1 at these" in notes[2], "the same predictions are no new look"
    (entry,) = map(json.loads, Path("ledger.jsonl").read_text().splitlines())
    assert entry["changed"] == {"scored": [None, "p.csv"]}
    command("history")
    assert "scored: absent → p.csv" in " ".join(capsys.readouterr().out.split())


# ---- spoiled files


def _text(text: str, **how: Any) -> Callable[[pd.DataFrame, Path], object]:
    return lambda frame, path: path.write_bytes(text.encode(**how))


def _csv(**how: Any) -> Callable[[pd.DataFrame, Path], object]:
    return lambda frame, path: frame.to_csv(path, **{"index": False} | how)


def _changed(**columns: Any) -> Callable[[pd.DataFrame, Path], object]:
    return lambda frame, path: frame.assign(**columns).to_parquet(path, index=False)


def _spoiled(column: str, value: object, row: int = 3) -> Callable[[pd.DataFrame, Path], object]:
    def write(frame: pd.DataFrame, path: Path) -> None:
        values = frame[column].astype(object)
        values[row] = value
        frame.assign(**{column: values}).to_csv(path, index=False)

    return write


def _cut(frame: pd.DataFrame, path: Path) -> None:
    frame.to_parquet(path)
    path.write_bytes(path.read_bytes()[:-100])


def _cut_gzip(frame: pd.DataFrame, path: Path) -> None:
    path.write_bytes(gzip.compress(frame.to_csv(index=False).encode())[:-2000])


def _packed(frame: pd.DataFrame, path: Path) -> None:
    frame.to_parquet(path)
    path.write_bytes(gzip.compress(path.read_bytes()))


SPOILED: dict[str, tuple[Callable[[pd.DataFrame, Path], object], str]] = {
    "empty": (_text(""), "the file is empty; expected a table of ids and predictions"),
    "only spaces": (_text(" \n\n"), "it has no header; expected a line such as 'id,prediction'"),
    "only a header": (_text("id,prediction\n"), "there are no rows; expected ids and predictions"),
    "no rows in parquet": (lambda frame, path: frame[:0].to_parquet(path, index=False), "there are no rows"),
    "a directory": (lambda frame, path: path.mkdir(), "it is a directory; expected one file"),
    "missing": (lambda frame, path: None, "the file is missing"),
    "cut parquet": (_cut, "not a readable Parquet file"),
    "cut gzip": (_cut_gzip, "cannot be unpacked|end-of-stream|expected numbers"),
    "gzip of parquet": (_packed, "it is Parquet, compressed once more by gzip; unpack it"),
    "zip": (_text("PK\x03\x04more"), "it is a zip archive; expected Parquet or CSV, unpack it"),
    "utf-16": (_csv(encoding="utf-16"), "it is written in UTF-16; expected UTF-8"),
    "latin-1": (_text("id,prédiction\nn1,0.5\n", encoding="latin-1"), r"byte 5 isn't UTF-8 \(0xe9\); write it with encoding='utf-8'"),
    "binary": (_text("id,p\nn1,\0\0\n"), "it is neither Parquet nor text"),
    "semicolons": (_csv(sep=";", decimal=","), "its columns are separated by ';'; expected ',' and decimal points: write it with sep=','"),
    "tabs": (_csv(sep="\t"), r"its columns are separated by '\\t'; expected ','"),
    "decimal commas": (
        _csv(decimal=","),
        "column 'mine' has decimal commas, such as '0,[0-9]+'; expected points: write it with decimal='.'",
    ),
    "a word among numbers": (
        _spoiled("mine", "high", 900),
        "column 'mine' holds numbers and 'high'; expected numbers only, or an empty field",
    ),
    "a line too long": (_text("id,p\nn1,0.5\nn2,0.5,7\n"), "Expected 2 columns, got 3.*as many columns as the header"),
    "no ids": (lambda frame, path: frame[["mine"]].to_csv(path, index=False), "there are no ids; expected a column or an index 'id'"),
    "ids under another name": (lambda frame, path: frame.rename(columns={"id": "ID"}).to_parquet(path, index=False), "there are no ids"),
    "no predictions": (
        lambda frame, path: frame[["id", "era"]].to_csv(path, index=False),
        "it has no column of predictions; expected one of",
    ),
    "only text": (lambda frame, path: frame[["id"]].assign(p="x").to_csv(path, index=False), "it has no column of predictions"),
    "twice the same column": (_text("id,p,p\nn1,1,2\n"), "column 'p' is there more than once; remove the duplicates"),
    "a name with a break": (_text('id,"p\r"\nn1,1\n'), "is blank or can't be printed; rename it"),
    "no id in a row": (_spoiled("id", None), "1 rows have no id, the first of them row 3; expected an id in each, remove them"),
    "nan as an id": (_spoiled("id", "NaN"), "1 rows have no id, the first of them row 3"),
    "ids as floats": (_changed(id=lambda frame: np.arange(len(frame)) + 0.5), r"column 'id' holds numbers with decimals \(double\)"),
    "ids of row numbers": (
        lambda frame, path: frame.drop(columns="id").reset_index(names="id").to_csv(path, index=False),
        "not one of its",
    ),
    "ids of another version": (
        _changed(id=lambda frame: "m" + frame["id"]),
        "not one of its 1,000 ids is in the data: they are like 'mn02",
    ),
    "ids in upper case": (
        _changed(id=lambda frame: frame["id"].str.upper()),
        "not one of its 1,000 ids is in the data: they are like 'N02",
    ),
    "half of the ids": (
        _changed(id=lambda frame: np.where(np.arange(len(frame)) % 2, frame["id"], frame["id"] + "x")),
        r"mine: 500 of its 1,000 ids \(50.0%\) aren't in .*, more than 5.0%; take the data version of the predictions",
    ),
    "half of the rows": (lambda frame, path: frame[::2].to_csv(path, index=False), r"mine: 500 of 1,000 rows of its 50 eras \(50.0%\)"),
    "dates as eras": (_changed(era="2026-01-02"), "column 'era' holds '2026-01-02'; expected a number such as '0001', which counts weeks"),
    "dates of parquet": (_changed(era=pd.Timestamp("2026-01-02")), "column 'era' holds .*; expected a number such as '0001'"),
    "seconds as eras": (_changed(era=1767312000), "column 'era' holds 1767312000; expected a number such as '0001'"),
    "wrong eras": (
        _changed(era=lambda frame: frame["era"].to_numpy()[::-1]),
        "its ids are in other eras of the data than its column 'era' says",
    ),
    "other eras": (_changed(era="0300"), "it has rows of eras 300 to 300 only, and the data has eras|it has no era of the predictions"),
    "only live": (_changed(era="X"), "it has no era of the predictions|it has rows of the live era only"),
    "infinite": (_spoiled("mine", np.inf), "column 'mine' is infinite in 1 rows, the first of them row 3; expected finite numbers"),
    "constant": (_changed(mine=0.5), r"mine: 1,000 of 1,000 rows of its 50 eras \(100.0%\) have no prediction.*50 with one value"),
    "all missing": (_changed(mine=np.nan), r"mine: 1,000 of 1,000 rows of its 50 eras \(100.0%\) have no prediction"),
    "lists": (
        lambda frame, path: pq.write_table(pa.table({"id": frame["id"], "p": [[0.5]] * len(frame)}), path),
        "no column of predictions",
    ),
}
"""Ways to spoil a file, with the message."""


@pytest.mark.parametrize("how", SPOILED)
def test_a_spoiled_file_gives_one_clear_line(how: str, data: Path, rows: pd.DataFrame, tmp_path: Path) -> None:
    spoil, message = SPOILED[how]
    path = tmp_path / "mine"
    spoil(rows, path)
    with pytest.raises(InputError, match=message) as caught:
        scored(path, data)
    assert "\n" not in str(caught.value)
    assert str(caught.value).startswith(("mine: ", f"{path}: ", f"{data}: "))


@pytest.mark.parametrize("how", sorted(set(SPOILED) - {"a directory"}))
def test_a_spoiled_file_stops_the_pipeline_by_the_same_line(how: str, rows: pd.DataFrame, tmp_path: Path) -> None:
    spoil, message = SPOILED[how]
    spoil(rows.drop(columns="other"), tmp_path / "mine")
    era = rows["era"].astype(int).to_numpy()
    panel = SimpleNamespace(index=rows, row_eras=era, starts=np.arange(0, len(era) + 1, ROWS), n_rows=len(era))
    live = SimpleNamespace(index=rows[:2].assign(id=["a", "b"]), row_eras=np.array([-1, -1]), starts=np.array([0, 2]), n_rows=2)
    labels = rows[["id"]].assign(era=pd.array(era, "Int64"), split="validation")
    settings = Predictions(kind="predictions", path="data/local/mine").model_copy(update={"path": str(tmp_path / "mine")})
    with pytest.raises(InputError, match=message) as caught:
        given.give(given.read(settings), 0.05, panel, live, labels, np.arange(len(era)))  # type: ignore[arg-type]
    assert str(caught.value).startswith(f"{tmp_path / 'mine'}: ")


def test_two_files_of_the_same_ids_are_two_predictions_and_one_file_twice_is_none(data: Path, rows: pd.DataFrame, tmp_path: Path) -> None:
    one, other = tmp_path / "a/mine.csv", tmp_path / "b/mine.csv"
    for path in (one, other):
        path.parent.mkdir()
        rows.to_csv(path, index=False)
    with pytest.raises(InputError, match=r"its prediction 'mine\.csv/mine' has the same name as one of .*; rename one of the files"):
        scored_files.score_files([one, other], data, Wishes(), How())
    with pytest.raises(InputError, match="the file is given twice"):
        scored_files.score_files([one, tmp_path / "a/../a/mine.csv"], data, Wishes(), How())
    other = other.rename(tmp_path / "b/second.csv")
    found = scored_files.score_files([one, other], data, Wishes(features="none"), How())
    assert found.predictions == ["mine/mine", "mine/other", "second/mine", "second/other"]


@pytest.fixture
def copy(data: Path, tmp_path: Path) -> tuple[Path, pd.DataFrame]:
    """Return a directory for spoiled data, and the frame of its validation file."""
    directory = tmp_path / "data"
    directory.mkdir()
    return directory, pd.read_parquet(data / "validation.parquet").reset_index()


SPOILED_DATA: dict[str, tuple[Callable[[pd.DataFrame], pd.DataFrame], str]] = {
    "no target": (lambda frame: frame.drop(columns=[name for name in frame if name.startswith("target")]), "no target is in validation"),
    "several targets": (
        lambda frame: frame.drop(columns="target"),
        "--target must say which of its targets counts: target_other_20, target_",
    ),
    "unknown horizon": (
        lambda frame: frame.drop(columns=["target_other_20"]),
        "--horizon: 'target' equals no named target.* set the trading",
    ),
    "an id twice": (lambda frame: pd.concat([frame, frame[:1]]), "era 61 has 1 ids more than once; remove the duplicate rows"),
    "no target known": (lambda frame: frame.assign(data_type="test"), "no row of its eras has target in"),
    "a target of text": (lambda frame: frame.assign(target="high"), "target 'target' is of type .*; expected float32"),
    "no era": (lambda frame: frame.drop(columns="era"), "column 'era' is missing"),
}
"""Ways to spoil the data, with the message."""


@pytest.mark.parametrize("how", SPOILED_DATA)
def test_spoiled_data_gives_one_clear_line(how: str, copy: tuple[Path, pd.DataFrame], rows: pd.DataFrame, tmp_path: Path) -> None:
    directory, frame = copy
    spoil, message = SPOILED_DATA[how]
    spoil(frame).to_parquet(directory / "validation.parquet")
    rows.to_parquet(tmp_path / "mine.parquet", index=False)
    with pytest.raises(InputError, match=message):
        scored(tmp_path / "mine.parquet", directory)


def test_the_columns_of_a_file_are_known_from_its_header(rows: pd.DataFrame, tmp_path: Path) -> None:
    rows.assign(target=0.5, feature_0=1, symbol="x", data_type="validation").to_csv(tmp_path / "mine.csv")
    columns = prediction_files.open_predictions(tmp_path / "mine.csv")
    assert columns.names == ["mine", "other"]
    assert columns.left_out == ["target", "feature_0", "symbol"]
