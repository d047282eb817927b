"""Outcomes to score against: targets, predictions of others and features, of raw files or of the prepared panel of a checkout."""

from collections.abc import Callable, Collection, Iterator, Sequence
from contextlib import AbstractContextManager, contextmanager, nullcontext
from dataclasses import dataclass, field
from pathlib import Path
from tempfile import TemporaryDirectory

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq
from numpy.typing import NDArray

from erawise import params, predictions
from erawise.base import tabular
from erawise.base.schema import DATA_TYPE, ERA, ID, LIVE_ERA, META_MODEL, ORACLE, TARGET, VALIDATION, is_feature, is_target, named_horizon
from erawise.base.settings import Score
from erawise.evaluation import evaluation
from erawise.models.predictions import matching
from erawise.panel import groups, rawfiles
from erawise.panel.panel import DESCRIPTION, Index, Panel, days_ahead
from erawise.preparation import aliases, matrix, rawrows, references
from erawise.preparation.chosen_columns import Columns
from erawise.preparation.rawrows import RawRows, Selection
from erawise.regimes import regimes
from erawise.regimes.regimes import Regime
from erawise.running import paths
from erawise.running.errors import InputError, known_names
from erawise.running.progress import Progress
from erawise.scores.eras import Groups
from erawise.scores.kernels import Floats
from erawise.sources import layout

ROWS = ("train.parquet", "validation.parquet")
ALL, NO_FEATURES = "all", "none"
"""Values of `--features`: every feature column of the data, and no features."""


@dataclass(frozen=True)
class Wishes:
    """The options of a scoring that the data must answer.

    Attributes
    ----------
    target : None for `target`, or the only one.
    horizon : trading days that the target looks ahead, None to find them.
    benchmark : the benchmark model of BMC, None to choose.
    regime : id of the regime that pays, None for the newest.
    features : a feature set, `ALL` or `NO_FEATURES`.
    against : names of others' predictions to read, in addition to the meta model and the benchmark.
    """

    target: str | None = None
    horizon: int | None = None
    benchmark: str | None = None
    regime: str | None = None
    features: str = ALL
    against: tuple[str, ...] = ()


@dataclass(frozen=True)
class Features:
    """The features of the eras that are scored.

    Attributes
    ----------
    names : of the columns.
    sets, sizes : the used features of each set, and the number of all its features.
    block : gives the (rows, features) of an era.
    """

    names: Sequence[str]
    sets: dict[str, list[str]]
    sizes: dict[str, int]
    block: Callable[[int], NDArray]

    @property
    def groups(self) -> Groups:
        """The positions of each group's features."""
        return groups.columns(self.names, self.sets)


@dataclass(frozen=True)
class Outcomes:
    """The rows of the data, sorted by era, and the answers to score against.

    Attributes
    ----------
    source : a name for messages.
    index : ids and eras.
    target, early : (rows,), NaN if unknown; early is the sibling that looks 20 days ahead, None if there is none.
    name, days, equal, early_name : the target, how far it looks ahead, the named target that it equals, and the early target's name.
    others : the predictions of others by name, (rows,), NaN if missing.
    benchmark, benchmarks : the benchmark model of BMC, and all that the data has.
    regime : the regime that pays.
    open_features : gives the features, and frees their space on disk at the end; None if there are none.
    own_score : the correlation that stands for CORR if a schema describes the panel, which no regime pays for; else None.
    checked : eras of the final check that are among them, if the data are a checkout's.
    """

    source: str
    index: Index
    target: Floats
    early: Floats | None
    name: str
    days: int
    equal: str | None
    early_name: str | None
    others: dict[str, Floats]
    benchmark: str | None
    benchmarks: list[str]
    regime: Regime
    all_regimes: list[Regime]
    open_features: Callable[[NDArray[np.bool_], Progress], AbstractContextManager[Features]] | None
    notes: list[str] = field(default_factory=list)
    own_score: Score | None = None
    checked: NDArray[np.int64] = field(default_factory=lambda: np.empty(0, np.int64))

    @property
    def corr(self) -> str:
        """The name of CORR, or of the correlation that stands for it."""
        return evaluation.corr_name(self.own_score)


class Raw:
    """A directory in Numerai's layout, of which only the needed files, eras and columns must be there.

    Parameters
    ----------
    directory : of the files.
    wishes : options of the user; names are checked before any row is read.

    Raises
    ------
    InputError
        If a file is unreadable, or a target, benchmark model, feature set or regime isn't there.
    """

    def __init__(self, directory: Path, wishes: Wishes) -> None:
        if not directory.is_dir():
            raise InputError(f"{directory}: there is no such directory; expected the files of Numerai's layout in it")
        self._directory, self._wishes = directory, wishes
        known_regimes = regimes.load()
        self._regime, self._regimes = known_regimes.named(wishes.regime), list(known_regimes.regimes)
        present = [name for name in ROWS if (directory / name).exists()]
        if not present:
            raise InputError(f"{directory}: neither {' nor '.join(ROWS)} is there; expected at least one, with ids, eras and a target")
        self._files = {directory / name: rawfiles.open_file(directory / name, (ID, ERA)) for name in present}
        targets = [[name for name in file.schema_arrow.names if is_target(name)] for file in self._files.values()]
        self._targets = [name for name in targets[0] if all(name in own for own in targets)]
        self._target = self._chosen_target()
        for path, file in self._files.items():
            kind = file.schema_arrow.field(self._target).type
            if not tabular.is_number(kind):
                raise InputError(f"{path}: target {self._target!r} is of type {kind}; expected float32")
        described = directory / layout.FEATURES
        self._own = layout.own_panel(described) if described.exists() else None
        self._sets, self._features = self._chosen_features()
        self._others = self._found_others()
        models = [name for names in self._others.values() for name in names if name not in (META_MODEL, ORACLE)]
        self.benchmarks = list(dict.fromkeys(models))
        require_name("--benchmark", wishes.benchmark, self.benchmarks, "benchmark model", directory)

    def read(self, eras: NDArray[np.int64] | None) -> Outcomes:
        """Read the rows of some eras, None for all.

        Raises
        ------
        InputError
            If there are no such rows, ids repeat, or the target's horizon isn't known.
        """
        parts = [part for path, file in self._files.items() if (part := self._rows(path, file, eras))]
        if not parts:
            raise InputError(f"{self._directory}: it has no era of the predictions; expected data of the eras that are to be scored")
        if len(parts) > 1:
            rawrows.check_eras(parts[0], parts[1], np.ones(len(parts[1].era), bool))
        chosen = Selection.select_rows(parts, [part.order for part in parts])
        _require_unique(chosen.index, self._directory)
        notes: list[str] = []
        days, equal = self._horizon(parts)
        early_name = evaluation.early_target(equal or self._target, days, self._targets)
        benchmark = evaluation.benchmark_column(self.benchmarks, self._wishes.benchmark, equal or self._target, days)
        wanted = {META_MODEL, ORACLE, *self._wishes.against} | ({benchmark} if benchmark else set())
        return Outcomes(
            source=str(self._directory),
            index=chosen.index,
            target=self._values(parts, self._target),
            early=self._values(parts, early_name) if early_name else None,
            name=self._target,
            days=days,
            equal=equal,
            early_name=early_name,
            others=self._read_others(chosen.index, wanted, notes),
            benchmark=benchmark,
            benchmarks=self.benchmarks,
            regime=self._regime,
            all_regimes=self._regimes,
            open_features=(lambda rows, progress: _stored(chosen, rows, self._features, self._sets, progress)) if self._features else None,
            notes=notes,
            own_score=None if self._own is None else self._own.score,
        )

    def _chosen_target(self) -> str:
        given, found = self._wishes.target, self._targets
        if not found:
            raise InputError(f"{self._directory}: no target is in {' and '.join(path.name for path in self._files)}; expected {TARGET!r}")
        if given is not None:
            require_name("--target", given, found, "target", self._directory)
            return given
        if TARGET in found or len(found) == 1:
            return TARGET if TARGET in found else found[0]
        raise InputError(f"{self._directory}: --target must say which of its targets counts: {', '.join(found)}")

    def _chosen_features(self) -> tuple[dict[str, list[str]], list[str]]:
        """Return the feature sets and the features to use; features that a file lacks are used of none."""
        wanted, described = self._wishes.features, self._directory / layout.FEATURES
        sets = layout.read_features(described)[0] if described.exists() else {}
        schemas = [file.schema_arrow.names for file in self._files.values()]
        listed = {name for members in sets.values() for name in members}
        present = [name for name in schemas[0] if is_feature(name) or name in listed]
        present = [name for name in present if all(name in own for own in schemas) and not is_target(name)]
        if wanted == NO_FEATURES:
            return sets, []
        if wanted == ALL:
            return sets, present
        require_name("--features", wanted, [ALL, NO_FEATURES, *sets], "feature set", self._directory)
        lacking = [name for name in sets[wanted] if name not in present]
        if lacking:
            raise InputError(f"{self._directory}: --features {wanted} has {lacking[0]!r}, which the files lack ({len(lacking)} in all)")
        return sets, list(dict.fromkeys(sets[wanted]))

    def _found_others(self) -> dict[Path, list[str]]:
        """Return the columns of each file of others' predictions."""
        known = {*self._targets, *(name for members in self._sets.values() for name in members)}
        found: dict[Path, list[str]] = {}
        for name, single in references.FILES.items():
            path = self._directory / name
            if path.exists():
                schema = rawfiles.open_file(path, [ID, *([single] if single else [])]).schema_arrow
                found[path] = [single] if single else references.prediction_columns(schema, known)[0]
        return found

    def _rows(self, path: Path, file: pq.ParquetFile, eras: NDArray[np.int64] | None) -> RawRows | None:
        """Return the rows of a file that are of some eras; None if it has none."""
        era = rawfiles.read_eras(file, path)
        kept = era != LIVE_ERA if eras is None else np.isin(era, eras[eras != LIVE_ERA])
        if not kept.any():
            return None
        order = np.flatnonzero(kept)
        if (np.diff(era[order]) < 0).any():
            order = order[np.argsort(era[order], kind="stable")]
        has_target = ~np.isnan(rawfiles.read_floats(file, self._target, path))
        known = has_target.copy()
        if DATA_TYPE in file.schema_arrow.names:
            unresolved = pc.equal(rawfiles.read_texts(file, DATA_TYPE, path), rawrows.UNRESOLVED).fill_null(False)
            known &= ~unresolved.to_numpy(zero_copy_only=False)
        return RawRows(path, file, rawfiles.read_ids(file, path), era, order, known, has_target)

    def _values(self, parts: Sequence[RawRows], target: str) -> Floats:
        """Return a target of the rows of some files, NaN in rows of the type `test`."""
        found = []
        for part in parts:
            values = rawfiles.read_floats(part.file, target, part.path).astype(np.float64)
            values[part.has_target & ~part.known] = np.nan
            found.append(values[part.order])
        return np.concatenate(found)

    def _horizon(self, parts: Sequence[RawRows]) -> tuple[int, str | None]:
        """Return how far the target looks ahead, and the named target that it equals."""
        days = named_horizon(self._target)
        if days is not None:
            return days, None
        named = [name for name in self._targets if named_horizon(name)]
        columns = Columns([], [*named, self._target], self._target, {}, "int8", {})
        try:
            found = aliases.find(parts, columns, self._own.days if self._own else self._wishes.horizon)
        except InputError as error:
            raise InputError(str(error).replace(f"{aliases.SETTING}:", f"{self._directory}, --horizon:")) from None
        known = found.days[self._target]
        return int(known), found.equal.get(self._target)

    def _read_others(self, index: Index, wanted: Collection[str], notes: list[str]) -> dict[str, Floats]:
        """Return the wanted predictions of others along the rows."""
        found: dict[str, Floats] = {}
        for path, names in self._others.items():
            own = [name for name in names if name in wanted]
            file = rawfiles.open_file(path, [ID])
            if not own or not file.metadata.num_rows:
                continue
            era = rawfiles.read_eras(file, path) if ERA in file.schema_arrow.names else None
            ids = rawfiles.read_ids(file, path)
            rows = np.arange(len(ids)) if era is None else np.flatnonzero(np.isin(era, index.eras))
            if not len(rows):
                continue
            position = matching.positions(ids.take(pa.array(rows)), None if era is None else era[rows], index)
            matched = position != matching.NOWHERE
            rows, position = rows[matched], position[matched]
            if len(position) and np.bincount(position).max() > 1:
                raise InputError(f"{path}: an id is there more than once in an era; remove the duplicates")
            if not len(rows):
                notes.append(
                    f"{path.name}: not one of its ids is in the data, so that it isn't used; fetch both from the same data version"
                )
            for name in own:
                values = found.setdefault(name, np.full(len(index.era), np.nan))
                if not np.isnan(values[position]).all():
                    raise InputError(f"{path}: {name!r} of some ids is in another file of benchmark models too; remove one")
                values[position] = rawfiles.read_floats(file, name, path)[rows]
        return {name: values for name, values in found.items() if not np.isnan(values).all()}


@contextmanager
def _stored(
    chosen: Selection, rows: NDArray[np.bool_], names: list[str], sets: dict[str, list[str]], progress: Progress
) -> Iterator[Features]:
    """Yield the features of raw files, sorted by era in a directory of their own that is removed at the end."""
    wanted = np.split(rows, np.cumsum([len(order) for order in chosen.orders])[:-1])
    own = Selection.select_rows(chosen.parts, [order[kept] for order, kept in zip(chosen.orders, wanted, strict=True)])
    dtype = matrix.choose_dtype(chosen.parts[0].path, chosen.parts[0].file.schema_arrow, names)
    form, counts = matrix.Layout(names, dtype, [], demean=False), matrix.Counts(np.zeros(len(names), np.int64))
    place = {int(era): k for k, era in enumerate(own.index.eras)}
    every = set(names)
    used = {name: [feature for feature in dict.fromkeys(members) if feature in every] for name, members in sets.items()}
    sizes = {name: len(set(members)) for name, members in sets.items()}
    with TemporaryDirectory(prefix="erawise-") as directory:
        path = Path(directory)
        matrix.write(path, own.with_positions(), own.index, form, counts, progress)
        yield Features(names, used, sizes, lambda era: matrix.map_era(path, own.index, place[era]))


class Prepared:
    """The prepared panel of the checkout that is the current directory, with the settings of its `params.yaml`.

    Raises
    ------
    InputError
        If it isn't prepared, or a target, benchmark model or regime isn't there.
    """

    def __init__(self, wishes: Wishes) -> None:
        if not (paths.PANEL / DESCRIPTION).exists():
            raise InputError(
                f"{paths.PANEL}: the data isn't prepared; run `dvc repro preprocess`, or give a directory of raw files by --data"
            )
        p = params.load(paths.PARAMS)
        known_regimes = regimes.load(p.payout.regimes)
        self._regime = known_regimes.named(wishes.regime or p.payout.regime)
        self._regimes, self._wishes = list(known_regimes.regimes), wishes
        self._target = wishes.target or p.data.target
        self._named = wishes.benchmark or p.evaluate.benchmark
        content = Panel(paths.PANEL, [])
        require_name("--target", wishes.target, content.targets, "target", paths.PANEL)
        require_name("--features", wishes.features, [ALL, NO_FEATURES], "choice", paths.PANEL)
        others = tabular.open_parquet(paths.REFERENCES).schema_arrow.names
        self.benchmarks = [name for name in others if name not in (ID, ERA, META_MODEL, ORACLE)]
        require_name("--benchmark", wishes.benchmark, self.benchmarks, "benchmark model", paths.REFERENCES)

    def read(self, eras: NDArray[np.int64] | None) -> Outcomes:
        """Read the rows of the panel; it is sorted, so that the eras that aren't needed cost little."""
        days, content = days_ahead(paths.PANEL, self._target), Panel(paths.PANEL, [])
        equal = content.equal.get(self._target)
        early_name = evaluation.early_target(equal or self._target, days, content.targets)
        targets = [name for name in (self._target, early_name) if name]
        panel, aside = Panel(paths.PANEL, targets), tabular.read_parquet(paths.VALIDATION_TARGETS, [ID, ERA, *targets])
        target, *early = (predictions.known_targets(panel, aside, name) for name in targets)
        benchmark = evaluation.benchmark_column(self.benchmarks, self._named, equal or self._target, days)
        table = tabular.read_parquet(paths.REFERENCES)
        wanted = [name for name in (META_MODEL, ORACLE, benchmark, *self._wishes.against) if name is not None and name in table]
        others = {name: table[name].to_numpy(np.float64) for name in wanted}
        checked = panel.index.loc[panel.index[DATA_TYPE] == VALIDATION, ERA].unique()
        found = Features(panel.feature_names, panel.feature_sets, panel.set_sizes, panel.block)
        return Outcomes(
            source=str(paths.PANEL),
            index=Index(pa.array(panel.index[ID], pa.large_string()), panel.row_eras, panel.starts),
            target=target,
            early=early[0] if early else None,
            name=self._target,
            days=days,
            equal=equal,
            early_name=early_name,
            others={name: values for name, values in others.items() if not np.isnan(values).all()},
            benchmark=benchmark,
            benchmarks=self.benchmarks,
            regime=self._regime,
            all_regimes=self._regimes,
            open_features=None if self._wishes.features == NO_FEATURES else (lambda rows, progress: nullcontext(found)),
            checked=checked if eras is None else np.intersect1d(checked, eras),
            own_score=panel.own_score,
        )


def require_name(option: str, name: str | None, known: Sequence[str], what: str, source: Path) -> None:
    """Raise `InputError` if an option names something that the data lacks."""
    if name is not None and name not in known:
        raise InputError(f"{option}: {source} has no {what} {name!r}; it has {known_names(known, name)}")


def _require_unique(index: Index, source: Path) -> None:
    """Raise `InputError` if an era of the data has an id twice."""
    for start, stop in zip(index.starts[:-1], index.starts[1:], strict=True):
        ids = index.ids[int(start) : int(stop)]
        distinct = pc.count_distinct(ids).as_py()
        if distinct < len(ids):
            raise InputError(f"{source}: era {index.era[start]} has {len(ids) - distinct} ids more than once; remove the duplicate rows")
