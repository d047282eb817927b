"""Scores of every model, the ensemble and the neutralized ensemble: tables by era, and metrics as a summary."""

from dataclasses import asdict

import pandas as pd

from erawise import params, predictions
from erawise.base import files, tabular
from erawise.base.schema import CV, ERA, ID, PREDICTION, SPLIT, VALIDATION, overlap_line
from erawise.evaluation import doubt, evaluation, summary
from erawise.panel.panel import DESCRIPTION, Panel, days_ahead
from erawise.regimes import regimes
from erawise.running import paths, runner
from erawise.running.progress import Progress


@runner.stage("evaluate", then="history --record")
def main(progress: Progress) -> runner.Done:
    p = params.load(paths.PARAMS)
    named, target_name = p.evaluate.benchmark, p.data.target
    regime = regimes.load(p.payout.regimes).named(p.payout.regime)
    days, content = days_ahead(paths.PANEL, target_name), files.read_json(paths.PANEL / DESCRIPTION)
    equal = content.get("equal", {}).get(target_name)
    early = evaluation.early_target(equal or target_name, days, content["targets"])
    targets = [name for name in (target_name, early) if name]
    panel, aside = Panel(paths.PANEL, targets), tabular.read_parquet(paths.VALIDATION_TARGETS, [ID, ERA, *targets])
    sums = {} if panel.own_score else regime.sums()
    target, *beside = (predictions.known_targets(panel, aside, name) for name in targets)
    references = tabular.read_parquet(paths.REFERENCES)
    benchmark = evaluation.benchmark_column(evaluation.benchmarks(references), named, equal or target_name, days)
    members = files.read_json(paths.MEMBERS)
    frames = {name: tabular.read_parquet(paths.prediction(name)) for name in (*members["models"], "ensemble", "neutralized")}
    outcomes = evaluation.Outcomes(target, references, benchmark, *beside)
    seeds, by_seed = predictions.by_seed(frames)
    scored = {
        split: evaluation.score_split(split, frames | by_seed, panel, outcomes, sums, p.resources.threads, progress)
        for split in (CV, VALIDATION)
    }
    tables = {split: _of(frames, table) for split, (table, _) in scored.items()}
    found = evaluation.Evaluated(
        target_name,
        days,
        equal,
        early,
        evaluation.Pays(regime.id, regime.horizon, *map(regimes.formula, sums.values())) if sums else None,
        benchmark,
        evaluation.benchmarks(references),
        {split: evaluation.absent(table, references, benchmark, bool(sums)) for split, table in tables.items()},
        {split: evaluation.partial(table) for split, table in tables.items()},
        {name: predictions.digest(frame) for name, frame in frames.items()},
        panel.own_score,
    )
    summaries = {split: summary.with_seeds(summary.summarize(table, days), scored[split][0], seeds) for split, table in tables.items()}
    given = {name: known for name, known in members.get("given", {}).items() if (frames[name][SPLIT] == CV).any()}
    doubt.mark(summaries[CV], given, files.read_json(paths.WEIGHTS))
    with files.replacing(paths.SCORES) as directory:
        directory.mkdir()
        for split, table in tables.items():
            tabular.write_parquet(table, directory / f"{split}.parquet")
            passes = evaluation.diagnostics(summaries[split], p.evaluate.min_corr)
            whole = {evaluation.DIAGNOSTICS: passes} | ({evaluation.REGIME: {regime.id: sums["payout"]}} if sums else {})
            parts = summary.parts(table) if split == VALIDATION else {}
            blocks = {name: block | parts.get(name, {}) for name, block in summaries[split].items()}
            files.write_json(blocks | whole, directory / f"{split}.json")
        exposure = pd.concat([_of(frames, exposure) for _, exposure in scored.values()], ignore_index=True)
        tabular.write_parquet(exposure, directory / paths.EXPOSURE.name)
        files.write_json(asdict(found), directory / evaluation.DESCRIPTION)
    files.write_json(evaluation.headline(summaries[CV]), paths.SUMMARY)
    for split, table in tables.items():
        for line in (*evaluation.report(table, summaries[split]), overlap_line(table[ERA].unique().tolist(), days)):
            print(f"{split}: {evaluation.named(line, panel.own_score)}")
    toy = [evaluation.TOY] if p.data.source == "market" else []
    for line in (*evaluation.lines(found, named), *toy):
        print(line)
    rows = int(frames["ensemble"][SPLIT].isin(list(tables)).sum())
    return runner.Done([paths.SCORES, paths.SUMMARY], rows)


def _of(frames: dict[str, pd.DataFrame], table: pd.DataFrame) -> pd.DataFrame:
    """Return the rows of the predictions themselves, without the rows of their seeds."""
    return table[table[PREDICTION].isin(frames)].reset_index(drop=True)


if __name__ == "__main__":
    main()
