"""The pages agree with the code: pictures and references are current, every key is explained, every link has a target."""

import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest
from closure import ROOT
from dvc.repo import Repo
from ruamel.yaml import YAML
from scipy import stats

from erawise.base import files
from erawise.commands import menu
from erawise.evaluation.summary import PARTS, SERIES, parts, summarize, with_seeds
from erawise.history import overview
from erawise.scores.eras import CONSTANT, EARLY_CORR, FNC_V3, ROWS, SCORES, Known, score_eras
from manual import concepts, parameters, screens

PAGES = sorted((ROOT / "docs").rglob("*.md"))
METRICS = (ROOT / "docs/metrics.md").read_text(encoding="utf-8")


def name(path: Path) -> str:
    return path.relative_to(ROOT).as_posix()


# ---- pictures


def test_the_pictured_run_begins_without_results_so_that_every_stage_runs(monkeypatch: pytest.MonkeyPatch) -> None:
    class StoppedError(Exception):
        """The end of the run, before it begins."""

    def record(_: list[str], directory: Path) -> list[str]:
        kept = {
            out.def_path for stage in Repo(str(directory)).index.stages for out in stage.outs if (directory / str(out.def_path)).exists()
        }
        assert not kept
        raise StoppedError

    monkeypatch.setattr(screens, "record", record)
    with pytest.raises(StoppedError):
        screens.draw_run()


@pytest.fixture(scope="module")
def drawn(tmp_path_factory: pytest.TempPathFactory) -> Path:
    directory = tmp_path_factory.mktemp("concepts")
    concepts.draw(directory)
    return directory


def words_and_numbers(path: Path) -> tuple[str, list[float]]:
    """Return the text of a picture without its numbers and the ids made of them, and the numbers."""
    text = re.sub(r"\b[mp][0-9a-f]{10}\b", "", path.read_text(encoding="utf-8"))
    number = r"-?\d+(?:\.\d+)?"
    return re.sub(number, "", text), [float(found) for found in re.findall(number, text)]


def test_the_pictures_are_those_that_the_code_draws(drawn: Path) -> None:
    """Compare with a tolerance for the last bits of another processor: a hundredth of a point."""
    assert {path.name for path in drawn.iterdir()} == {path.name for path in concepts.PICTURES.glob("*.svg")}
    for path in drawn.iterdir():
        (words, numbers), (known, places) = words_and_numbers(path), words_and_numbers(concepts.PICTURES / path.name)
        assert words == known, f"run make docs and commit docs/concepts/{path.name}"
        assert numbers == pytest.approx(places, abs=0.02), f"run make docs and commit docs/concepts/{path.name}"


def test_every_picture_is_shown_and_described_in_words() -> None:
    shown = dict(re.findall(r"!\[([^\]]*)\]\(concepts/([\w.]+)\)", (ROOT / "docs/concepts.md").read_text(encoding="utf-8")))
    assert sorted(shown.values()) == sorted(path.name for path in concepts.PICTURES.glob("*"))
    assert all(len(alternative.split()) > 10 for alternative in shown)


def test_the_pictures_show_what_they_are_headed_by() -> None:
    found = concepts.study()
    table = concepts.mmc(found).frame.set_index("prediction")
    assert table.loc["meta model", "mmc"] == pytest.approx(0, abs=1e-12)
    assert abs(table.loc["near copy of it", "mmc"]) < 0.005 < 0.02 < table.loc["linear model", "mmc"]
    bars, scores = (table.frame for table in concepts.neutralized(found))
    full = bars[bars["proportion"] == 1]
    assert full.loc[full["neutralized"], "exposure"].abs().max() < 1e-9
    assert full.loc[~full["neutralized"], "exposure"].abs().max() > 0.1
    swings = scores.groupby("proportion")["corr"].std()
    assert swings[1.0] < swings[0.0]
    purged = concepts.purge(found).frame.query("role == 'purged'")
    assert len(purged) == 16
    assert purged["shares"].sum() == 6


# ---- settings


@pytest.fixture(scope="module")
def reference() -> str:
    """Make the reference of settings from this checkout."""
    return parameters.page(ROOT)


def test_the_reference_of_settings_is_current(reference: str) -> None:
    assert (ROOT / parameters.PAGE).read_text(encoding="utf-8") == reference, "run make docs and commit docs/parameters.md"


def test_every_setting_is_in_it() -> None:
    page = (ROOT / parameters.PAGE).read_text(encoding="utf-8")
    content = YAML(typ="safe").load((ROOT / "params.yaml").read_text(encoding="utf-8"))
    spaces = {f"spaces.{kind}.{key}" for kind, space in content.pop("spaces").items() for key in space}
    listed = re.findall(r"^\| `([\w.]+)` \|", page, re.MULTILINE)
    assert len(listed) == len(set(listed))
    several = {path for path in listed if path.startswith("models.") and path.endswith(("targets", "seeds"))}
    assert set(listed) == {path for path, _ in parameters.leaves(content)} | spaces | several


@pytest.fixture
def copied(tmp_path: Path) -> Path:
    """Copy the sources of the reference, so that a test can change them."""
    for path in (ROOT / "params.yaml", ROOT / "dvc.yaml", *(ROOT / "erawise").rglob("*.py"), *(ROOT / "stages").glob("*.py")):
        (tmp_path / name(path)).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / name(path)).write_bytes(path.read_bytes())
    return tmp_path


def test_a_copy_of_what_it_is_made_from_has_the_same_reference(copied: Path, reference: str) -> None:
    assert parameters.page(copied) == reference


@pytest.mark.parametrize(
    ("file", "before", "after"),
    [
        ("params.yaml", "every: 1 ", "every: 2 "),
        ("params.yaml", "# keep every n-th era", "# keep each n-th era"),
        ("params.yaml", "# features to add to the matrix", "# columns to add to the matrix"),
        ("params.yaml", "whatever the source: it has to be there", "whatever the source: it must be there"),
        ("params.yaml", "l2: {low: 1.0,", "l2: {low: 2.0,"),
        ("params.yaml", "trees: 30                 # number of trees", "trees: 30                 # count of trees"),
        ("dvc.yaml", "[data.target, explore, ", "[data.target, explore, final, "),
        ("erawise/live/watching.py", "p.monitor", "p.tracking"),
    ],
)
def test_no_change_goes_unnoticed(file: str, before: str, after: str, copied: Path, reference: str) -> None:
    text = (copied / file).read_text(encoding="utf-8")
    assert before in text
    (copied / file).write_text(text.replace(before, after, 1), encoding="utf-8")
    assert parameters.page(copied) != reference


@pytest.mark.parametrize("path", ["preprocess.every", "models.lightgbm.trees"])
def test_a_setting_without_a_meaning_is_an_error(path: str, copied: Path) -> None:
    text = (copied / "params.yaml").read_text(encoding="utf-8")
    said = parameters.comments(text)[path]
    (copied / "params.yaml").write_text(text.replace(f"# {said}", ""), encoding="utf-8")
    with pytest.raises(ValueError, match=re.escape(path)):
        parameters.page(copied)


def test_the_stages_that_read_a_setting_are_those_that_dvc_knows() -> None:
    known = parameters.readers(ROOT)
    for stage in Repo(ROOT).index.stages:
        own = {path for dep in getattr(stage, "deps", []) if hasattr(dep, "params") for path in dep.params}
        for path in own:
            assert f"`{str(stage.name).split('@')[0]}`" in parameters.read_by(path, known)
    assert parameters.read_by("explore.max_constant_share", known) == "`explore`, `erawise submit`"
    assert parameters.read_by("execution.engine", known) == "`refit`, `train`, `tune`, `erawise cadence`"


# ---- scores


def section(title: str) -> list[str]:
    """Return the first cells of the tables of a section of docs/metrics.md."""
    text = METRICS.partition(f"## {title}\n")[2].partition("\n## ")[0]
    found = re.findall(r"^\| `([\w.]+)` \|", text, re.MULTILINE)
    assert found
    assert len(found) == len(set(found))
    return found


def keys(content: dict[str, Any], above: str = "") -> Iterator[str]:
    for key, value in content.items():
        if isinstance(value, dict):
            yield from keys(value, f"{above}{key}.")
        else:
            yield f"{above}{key}"


def documented() -> set[str]:
    statistics = section("Statistics of a score")
    series = {f"{score}.{statistic}" for score in section("Scores of an era") for statistic in statistics}
    counted = {f"{score}.eras" for score in ("mmc", "bmc", "payout", "payout_bmc")}
    halves = {f"{PARTS}.{part}.{key}" for part in overview.PARTS for key in section("Parts of the validation eras")}
    [number, spread] = section("Seeds")
    seeds = {number, *(f"{score}.{spread}" for score in SERIES)}
    others = {*section("Other keys of a prediction"), *section("The whole file")}
    return {key for key in series if not key.endswith(".eras")} | counted | halves | seeds | others


@pytest.fixture(scope="module")
def example() -> dict[str, Any]:
    """Score eras with all inputs that a score can need, and a target of ten values, so that the top class isn't all above .5."""
    rng = np.random.default_rng(0)
    eras, rows = 48, 200
    era = np.repeat(np.arange(1, eras + 1), rows)
    target = rng.integers(0, 10, eras * rows) / 9
    given = {key: rng.random(eras * rows) + 0.3 * target for key in ("prediction", "meta_model", "benchmark", "oracle")}
    features = {number: rng.integers(0, 5, (rows, 6)).astype(np.int8) for number in range(1, eras + 1)}
    prediction = pd.DataFrame({"model": given.pop("prediction")})
    others: dict[str, Any] = given
    early = rng.integers(0, 5, eras * rows) / 4
    table = score_eras(
        prediction,
        target,
        era,
        Known(**others, features=features.__getitem__, fnc_v3=np.array([0, 3]), early=early),
        sums={"payout": {"corr": 3.0, "mmc": 15.0}, "payout_bmc": {"corr": 3.0, "bmc": 15.0}},
    )
    whole = given | {"target": target, "early": early, "prediction": prediction["model"].to_numpy()}
    first = {key: values[:rows] for key, values in whole.items()}
    return {
        "table": table,
        "metrics": summarize(table, 20)["model"] | parts(table)["model"],
        "first": first | {"features": features[1].astype(float)},
    }


def seeded(example: dict[str, Any]) -> dict[str, Any]:
    """Return the block of the example's model as if it had two seeds."""
    own, names = example["table"], ["model/seed_1", "model/seed_2"]
    return with_seeds({"model": example["metrics"]}, pd.concat([own.assign(prediction=name) for name in names]), {"model": names})["model"]


def test_every_key_is_documented_and_every_documented_key_is_there(example: dict[str, Any]) -> None:
    found = set(keys(example["metrics"] | seeded(example)))
    for split in ("cv", "validation"):
        content = files.read_json(ROOT / f"metrics/{split}.json")
        assert {f"diagnostics.{key}" for key in content.pop("diagnostics")} == {"diagnostics.passes"}
        content.pop("regime", None)
        found |= {key for block in content.values() for key in keys(block)}
    assert found == documented() - {"diagnostics.passes", "regime"}
    assert set(section("metrics/data.json")) == set(keys(files.read_json(ROOT / "metrics/data.json")))
    assert section("Columns of data/scores/") == ["era", "prediction", ROWS, CONSTANT, *SCORES, FNC_V3, EARLY_CORR]
    assert {path.name for path in (ROOT / "metrics").glob("*.json")} == {"cv.json", "validation.json", "summary.json", "data.json"}


def ranks(x: np.ndarray) -> np.ndarray:
    return np.asarray((stats.rankdata(x) - 0.5) / len(x))


def gaussian(x: np.ndarray) -> np.ndarray:
    return np.asarray(stats.norm.ppf(ranks(x)))


def power(x: np.ndarray) -> np.ndarray:
    return np.asarray(np.sign(x) * np.abs(x) ** 1.5)


def pearson(a: np.ndarray, b: np.ndarray) -> float:
    return float(np.corrcoef(a, b)[0, 1])


def test_the_formulas_of_an_era_are_what_is_computed(example: dict[str, Any]) -> None:
    row, first = example["table"].iloc[0], example["first"]
    p, t, features = first["prediction"], first["target"], first["features"]
    g, centred = gaussian(p), 4 * t - np.mean(4 * t)
    designs = [np.column_stack([features[:, columns], np.ones(len(p))]) for columns in (range(6), [0, 3])]
    neutral, of_v3 = (g - design @ np.linalg.lstsq(design, g, rcond=None)[0] for design in designs)
    exposures = [pearson(p, feature) for feature in features.T]
    top = t >= np.sort(t)[::-1][len(t) // 5 - 1]
    expected = {
        "corr": pearson(power(g), power(t - t.mean())),
        "spearman": pearson(ranks(p), ranks(t)),
        "fnc": pearson(power(gaussian(neutral)), power(t - t.mean())),
        "fncv3": pearson(power(gaussian(of_v3)), power(t - t.mean())),
        "meta_corr": pearson(g, gaussian(first["meta_model"])),
        "exposure_max": np.abs(exposures).max(),
        "exposure_rms": np.sqrt(np.square(exposures).mean()),
        "mse": np.square(p - t).mean(),
        "top_share": top.mean(),
        "auc_top": stats.mannwhitneyu(p[top], p[~top]).statistic / (top.sum() * (~top).sum()),
        "auc_above_half": stats.mannwhitneyu(p[t > 0.5], p[t <= 0.5]).statistic / ((t > 0.5).sum() * (t <= 0.5).sum()),
        "oracle_corr": pearson(power(gaussian(first["oracle"])), power(t - t.mean())),
        "early_corr": pearson(power(g), power(first["early"] - first["early"].mean())),
    }
    for key, other in (("mmc", "meta_model"), ("bmc", "benchmark")):
        m = gaussian(first[other])
        expected[key] = centred @ (g - m * (m @ g) / (m @ m)) / len(t)
    expected["payout"] = 3 * expected["corr"] + 15 * expected["mmc"]
    expected["payout_bmc"] = 3 * expected["corr"] + 15 * expected["bmc"]
    assert set(expected) == {*SCORES, FNC_V3, EARLY_CORR}
    for key, value in expected.items():
        assert row[key] == pytest.approx(value, abs=1e-9), key


def test_the_formulas_of_the_statistics_are_what_is_computed(example: dict[str, Any]) -> None:
    x = example["table"]["corr"].to_numpy()
    n, mean, total = len(x), x.mean(), np.cumsum(x)
    cosines = min(int(0.41 * n ** (2 / 3)), n // (3 * 4))  # a target of 20 days spans 4 eras
    waves = [
        np.sqrt(2 / n) * sum((x[i - 1] - mean) * np.cos(np.pi * j * (i - 0.5) / n) for i in range(1, n + 1)) for j in range(1, cosines + 1)
    ]
    reach = stats.t.ppf(0.975, cosines) * np.sqrt(np.mean(np.square(waves)) / n)
    expected = {
        "mean": mean,
        "low": mean - reach,
        "high": mean + reach,
        "std": np.sqrt(np.square(x - mean).sum() / n),
        "sharpe": mean / np.sqrt(np.square(x - mean).sum() / n),
        "max_drawdown": max(max(total[: j + 1]) - total[j] for j in range(n)),
        "median": (np.sort(x)[n // 2 - 1] + np.sort(x)[n // 2]) / 2,
        "iqr": np.quantile(x, 0.75) - np.quantile(x, 0.25),
        "positive_share": (x > 0).sum() / n,
    }
    block = example["metrics"]
    assert block["corr"] == {key: pytest.approx(value, abs=1e-6) for key, value in expected.items()}
    table = example["table"]
    assert block["eras"] == block["mmc"]["eras"] == n
    assert block["exposure"] == {key: pytest.approx(table[f"exposure_{key}"].mean(), abs=1e-6) for key in ("max", "rms")}
    assert block["ceiling_share"] == pytest.approx(mean / table["oracle_corr"].mean(), abs=1e-6)
    assert block["auc"]["top_implied"] == pytest.approx(implied(mean, table["top_share"].mean()), abs=2e-3)


def implied(rho: float, share: float) -> float:
    """Draw a score with this correlation to a normal target, and return its AUC."""
    rng = np.random.default_rng(1)
    y, z = rng.standard_normal((2, 400_000))
    score, top = rho * y + np.sqrt(1 - rho**2) * z, y > stats.norm.ppf(1 - share)
    return float(stats.mannwhitneyu(score[top], score[~top]).statistic / (top.sum() * (~top).sum()))


def test_absence_is_as_it_is_said(example: dict[str, Any]) -> None:
    table = example["table"]
    few = summarize(table[table["era"] <= 31], 20)["model"]
    assert {"low", "high"} == set(example["metrics"]["corr"]) - set(few["corr"])
    missing = dict.fromkeys(("mmc", "payout", "payout_bmc", "early_corr", "meta_corr", "oracle_corr"), np.nan)
    bare = summarize(table.assign(**missing), 20)["model"]
    assert set(example["metrics"]) - {PARTS} - set(bare) == {"mmc", "payout", "payout_bmc", "early", "meta_corr", "ceiling_share"}
    assert "sharpe" not in summarize(table.assign(corr=0.01), 20)["model"]["corr"]


# ---- commands


@pytest.mark.parametrize("path", [ROOT / "README.md", ROOT / "CONTRIBUTING.md", ROOT / "params.yaml", *PAGES], ids=name)
def test_every_command_that_is_shown_is_one(path: Path) -> None:
    for line in re.findall(r"(?:^|`|/bin/)erawise ([a-z].*?)(?: +#| &&| >>|`|$)", path.read_text(encoding="utf-8"), re.MULTILINE):
        words = line.split()
        if len(words) > 1 or words[0] not in ("x", "audit", "diagnostics", "review", "remote", "score"):
            menu._app(words[0]).parse_args(words, exit_on_error=False, print_error=False)


# ---- links


def anchors(text: str) -> set[str]:
    """Return the anchors that GitHub gives the headings of a page."""
    titles = re.findall(r"^#+ (.+)$", re.sub(r"```.*?```", "", text, flags=re.DOTALL), re.MULTILINE)
    return {re.sub(r"[^\w\- ]", "", title.strip().lower()).replace(" ", "-") for title in titles}


def links(path: Path) -> list[tuple[Path, str]]:
    """Return the files that a page links to, each with the anchor."""
    text = re.sub(r"```.*?```", "", path.read_text(encoding="utf-8"), flags=re.DOTALL)
    given = [link for link in re.findall(r"\]\(([^)\s]+)\)", text) if "://" not in link]
    return [((path.parent / where).resolve() if where else path, anchor) for where, _, anchor in (link.partition("#") for link in given)]


@pytest.mark.parametrize("path", [ROOT / "README.md", *PAGES], ids=name)
def test_every_link_leads_somewhere(path: Path) -> None:
    for target, anchor in links(path):
        assert target.exists(), f"{name(path)} links to {target}"
        assert not anchor or anchor in anchors(target.read_text(encoding="utf-8")), f"{name(path)} links to {anchor} of {target.name}"


def test_every_page_can_be_reached_from_the_readme() -> None:
    reached: set[Path] = set()
    waiting = [ROOT / "README.md"]
    while waiting:
        page = waiting.pop()
        if page not in reached:
            reached.add(page)
            waiting += [target for target, _ in links(page) if target.suffix == ".md"]
    assert set(PAGES) <= reached


def test_the_index_names_every_page_in_its_lists() -> None:
    text = (ROOT / "docs/index.md").read_text(encoding="utf-8")
    assert re.findall(r"^## (.*)$", text, re.MULTILINE) == ["Start", "How-to", "Reference", "Explanation"]
    listed = re.findall(r"^\| \[[^\]]+\]\(([\w/.-]+\.md)\)", text, re.MULTILINE)
    assert sorted([*listed, "index.md"]) == sorted(path.relative_to(ROOT / "docs").as_posix() for path in PAGES)


# ---- counts


def test_the_page_of_the_market_says_in_words_what_its_table_counts() -> None:
    prose, _, table = (ROOT / "docs/market.md").read_text(encoding="utf-8").partition("<!-- order -->")
    [named] = re.findall(r"name another prediction in (\d+ of \d+) seeds", table)
    listed = re.findall(r"^- (\w+), by (.*): .* best of all in (\d+ of \d+) ", table, re.MULTILINE)
    counts = {(split, score): count for split, score, count in listed}
    paid = "3 · CORR + 15 · BMC"
    said = " ".join(prose.split())
    assert f"names another prediction in {named} markets" in said
    assert f"(the ensemble or the neutralized ensemble) is the best in {counts['cv', 'CORR']} markets" in said
    assert f"{paid}, one of the two blends is the best in {counts['cv', paid]}." in said
    assert counts["validation", "CORR"] == counts["validation", paid]
    assert f"a blend is the best in {counts['validation', 'CORR']} markets by either mean" in said


# ---- experiments


@pytest.mark.parametrize("page", [ROOT / "README.md", *PAGES], ids=name)
def test_an_experiment_never_costs_a_reader_their_changes(page: Path) -> None:
    text = page.read_text(encoding="utf-8")
    runs = re.findall(r"dvc exp run(?= -)[^\n`]*", text)
    assert not [run for run in runs if not re.search(r" --(temp|queue)\b", run)]
    if page.name == "recover.md":
        assert "deletes every uncommitted change of tracked files" in text.partition("git reset --hard")[2][:200]
    else:
        assert "reset --hard" not in text
