"""dvc.yaml tells the truth: deps are the import closure, params are what is read, arrows run downwards."""

import ast
import re
from pathlib import Path

import pytest
from closure import ROOT, closure, imports
from dvc.repo import Repo
from dvc.stage import PipelineStage
from ruamel.yaml import YAML

FILES = sorted([*(ROOT / "erawise").rglob("*.py"), *(ROOT / "stages").rglob("*.py")])
SOURCES = [path for path in FILES if path.stat().st_size]
STYLE = "erawise/charts/erawise.mplstyle"
SOURCES_OF_DATA = {"market", "local", "numerai"}
WITHOUT_EFFECT = "execution"
"""The section whose settings change no result: a stage that hung on them would be run again for nothing."""
KINDS = {"lightgbm", "logistic", "neural_network", "random_forest", "ridge"}
THIRD_PARTY = {
    "numerapi": {"erawise/sources/numerai/client.py"},
    "matplotlib": {"erawise/charts/charts.py", "stages/plot.py"},
    "lightgbm": {"erawise/models/lightgbm/model.py", "erawise/upload/runtime.py"},
    "distributed": {f"erawise/cluster/{name}.py" for name in ("client", "connection", "worker")},
    "sklearn": {"erawise/models/logistic/model.py", "erawise/models/random_forest/model.py"},
    "tensorflow": {"erawise/models/neural_network/engine.py"},
    "keras": {"erawise/models/neural_network/engine.py"},
    "numba": {"erawise/base/jit.py"},
    "optuna": {"erawise/tuning/search.py"},
    "dvc": {"erawise/history/lockfile.py", "erawise/history/remote_check.py", "erawise/history/revisions.py"},
    "dvc_data": {"erawise/history/revisions.py"},
    "dask": {"erawise/cluster/connection.py"},
    "cloudpickle": {"erawise/cluster/client.py"},
    "altair": {"erawise/report/drawing.py", "erawise/report/views.py"},
    "vl_convert": {"erawise/report/drawing.py"},
    "wandb": {"erawise/history/tracking.py"},
    "tqdm": {"erawise/running/progress.py"},
    "numerai_tools": set(),
}
FLOORS = [
    {"errors", "schema", "jit", "blocks", "blocks_plain", "blocks_compiled", "progress"},
    {"files", "params", "tabular"},
    {
        "panel",
        "splits",
        "scores",
        "significance",
        "neutralize",
        "ensemble",
        "predictions",
        "evaluation",
        "live",
        "sources",
        "exploration",
        "exploration_tables",
        "drift",
        "tables",
        "tables_data",
        "charts",
        "overview",
        "comparison",
        "crossvalidation",
        "diagnosis",
        "ledger",
        "lockfile",
        "monitoring",
        "payout",
        "payout_tables",
        "remote_check",
        "review",
        "revisions",
        "tracking",
        "groups",
        "explained",
        "explained_tables",
    },
    {"features", "models", "preparation", "columns", "matrix", "rawfiles", "rawrows", "references", "scales"},
    {"jobs", "resolved", "sites", "cluster"},
    {"training", "tuning", "canary", "explanation"},
    {"serving", "portable", "lab", "report"},
]


def relative(path: Path) -> str:
    return path.relative_to(ROOT).as_posix()


def stages() -> list[PipelineStage]:
    return [stage for stage in Repo(ROOT).index.stages if isinstance(stage, PipelineStage)]


def script(stage: PipelineStage) -> Path:
    module = re.match(r"python -m (stages\.\w+)", str(stage.cmd))
    assert module, f"{stage.name}: expected a command of the form python -m stages.x"
    return ROOT / Path(*module.group(1).split(".")).with_suffix(".py")


def deps(stage: PipelineStage) -> set[str]:
    return {
        Path(dep.fs_path).resolve().relative_to(ROOT).as_posix()
        for dep in stage.deps
        if dep.protocol == "local" and not dep.is_plot and not hasattr(dep, "params")
    }


def code(names: set[str]) -> set[str]:
    """Files of code among deps; a package stands for its files."""
    packages = {name for name in names if not name.endswith(".py") and (ROOT / name / "__init__.py").exists()}
    inside = {relative(path) for name in packages for path in (ROOT / name).glob("*.py") if path.stat().st_size}
    return {name for name in names if name.endswith(".py")} | inside


def declared_params(stage: PipelineStage) -> set[str]:
    names = {name for dep in stage.deps if hasattr(dep, "params") for name in dep.params}
    return {re.sub(r"^(models|spaces)\.\w+$", r"\1.*", name) for name in names}


def of_a_source(source: str) -> set[str]:
    """The code of a source's download and, since deps can't be switched by the source, what others need beside their own modules."""
    needed = {name: closure(ROOT / f"stages/download_{name}.py") for name in SOURCES_OF_DATA}
    own = {file for name in SOURCES_OF_DATA - {source} for file in (f"stages/download_{name}.py", f"erawise/sources/{name}.py")}
    return set().union(*needed.values()) - own


@pytest.mark.parametrize("stage", stages(), ids=lambda stage: stage.addressing)
def test_code_deps_are_the_import_closure(stage: PipelineStage) -> None:
    expected = of_a_source(script(stage).stem.removeprefix("download_")) if stage.name == "download" else closure(script(stage))
    assert code(deps(stage)) == expected


@pytest.mark.parametrize("source", ["local", "numerai"])
def test_code_deps_of_the_other_sources_are_the_import_closure(source: str) -> None:
    declared = YAML(typ="safe").load((ROOT / "dvc.yaml").read_text())["stages"]["download"]["deps"]
    assert code({name.replace("${data.source}", source) for name in declared}) == of_a_source(source)


@pytest.mark.parametrize("stage", ["tune", "train", "refit", "explain"])
@pytest.mark.parametrize("kind", sorted(KINDS))
def test_code_deps_of_every_kind_are_the_import_closure(kind: str, stage: str) -> None:
    declared = YAML(typ="safe").load((ROOT / "dvc.yaml").read_text())["stages"][stage]["do"]["deps"]
    assert code({name.replace("${item.kind}", kind) for name in declared}) == closure(ROOT / f"stages/{stage}_{kind}.py")


def test_every_data_dep_is_an_out_of_a_stage_or_kept_in_git() -> None:
    outs = {relative(Path(out.fs_path)) for stage in stages() for out in stage.outs}
    for stage in stages():
        for name in deps(stage) - {"data/local", STYLE}:
            if not code({name}):
                assert any(out == name or out.startswith(f"{name}/") or name.startswith(f"{out}/") for out in outs), (
                    f"{stage.name} depends on {name}, which no stage makes"
                )


def test_the_stages_that_draw_depend_on_the_style_of_pictures() -> None:
    drawing = {stage.name for stage in stages() if "erawise/charts/charts.py" in deps(stage)}
    assert "plot" in drawing
    assert drawing == {stage.name for stage in stages() if STYLE in deps(stage)}


def test_no_out_lies_inside_a_dep_of_its_own_stage() -> None:
    for stage in stages():
        for out in stage.outs:
            path = relative(Path(out.fs_path))
            assert not any(path == dep or path.startswith(f"{dep}/") for dep in deps(stage)), f"{stage.name}: {path}"


def test_validation_targets_are_seen_by_the_stages_alone_after_which_nothing_is_chosen() -> None:
    readers = {stage.name.split("@")[0] for stage in stages() if "data/prepared/validation_targets.parquet" in deps(stage)}
    assert readers == {"evaluate", "plot", "refit", "explain"}
    explained = {stage.name for stage in stages() if any(name.startswith("data/explained") for name in deps(stage))}
    assert explained == {"plot"}, "what is known of validation from explaining a model must not choose anything"
    assert not {name for stage in stages() for name in deps(stage) if name.startswith("plots")}
    final = {stage.name for stage in stages() if any(name.startswith("data/final") for name in deps(stage))}
    assert not final, "what was fitted on validation must not be scored on it"


def test_every_stage_says_what_it_does() -> None:
    assert all(stage.desc for stage in stages())


def params_read(path: Path) -> set[str]:
    """Attribute chains on the name `p` in the functions of a stage, `p.models[name]` as `models.*`."""
    tree = ast.parse(path.read_text())
    chains: set[str] = set()
    inner: set[int] = set()
    for node in ast.walk(tree):
        if isinstance(node, ast.Attribute | ast.Subscript) and id(node) not in inner:
            names: list[str] = []
            current: ast.expr = node
            while isinstance(current, ast.Attribute | ast.Subscript):
                inner.add(id(current))
                names.append(current.attr if isinstance(current, ast.Attribute) else "*")
                current = current.value
            if isinstance(current, ast.Name) and current.id == "p":
                inner.add(id(current))
                chains.add(".".join(reversed(names)))
    whole = [
        node
        for node in ast.walk(tree)
        if isinstance(node, ast.Name) and node.id == "p" and isinstance(node.ctx, ast.Load) and id(node) not in inner
    ]
    assert not whole, f"{path}: the params are passed on whole, so that nobody can see what is read"
    return chains


@pytest.mark.parametrize("stage", stages(), ids=lambda stage: stage.addressing)
def test_params_declared_are_the_params_read(stage: PipelineStage) -> None:
    read = set().union(*(params_read(ROOT / name) for name in closure(script(stage)) if name.startswith("stages/")))
    declared = declared_params(stage)
    if stage.name == "download":
        declared -= {"data.source", "data.version", "data.round", "data.feature_set", "data.local.path", "data.market"}
        read -= {"data.market"}
    for name in declared:
        assert any(chain == name or chain.startswith(f"{name}.") for chain in read), f"{stage.name} declares {name} and doesn't read it"
    for chain in read:
        if chain.split(".")[0] == WITHOUT_EFFECT:
            continue
        assert any(chain == name or chain.startswith(f"{name}.") for name in declared), f"{stage.name} reads {chain} and doesn't declare it"


def test_the_sources_read_what_download_declares() -> None:
    read = set().union(*(params_read(ROOT / f"stages/download_{source}.py") for source in ("market", "local", "numerai")))
    declared = declared_params(next(stage for stage in stages() if stage.name == "download"))
    assert read | {"data.source"} == declared


@pytest.mark.parametrize("path", SOURCES, ids=relative)
def test_arrows_run_downwards(path: Path) -> None:
    floor = _floor(relative(path).removesuffix(".py").removesuffix("/__init__").replace("/", "."))
    for name in imports(path):
        if name.split(".")[0] in ("erawise", "stages") and name.count("."):
            assert _floor(name) <= floor, f"{relative(path)} imports {name}, which is above it"


@pytest.mark.parametrize("path", SOURCES, ids=relative)
def test_libraries_are_imported_in_their_own_room_alone(path: Path) -> None:
    for name in {name.split(".")[0] for name in imports(path)} & set(THIRD_PARTY):
        assert relative(path) in THIRD_PARTY[name], f"{relative(path)} imports {name}"


def test_no_stage_imports_a_stage() -> None:
    commands = {script(stage).stem for stage in stages()} | {path.stem for path in (ROOT / "stages").glob("download_*.py")}
    for path in (ROOT / "stages").glob("*.py"):
        assert not {name.split(".")[-1] for name in imports(path) if name.startswith("stages.")} & commands


def test_packages_are_empty_so_that_they_need_not_be_deps() -> None:
    filled = {path.parent.relative_to(ROOT).as_posix() for path in FILES if path.name == "__init__.py" and path.stat().st_size}
    assert not filled


def _floor(module: str) -> int:
    package, _, rest = module.partition(".")
    if package == "stages":
        return len(FLOORS)
    room = rest.split(".")[0]
    return next(number for number, rooms in enumerate(FLOORS) if room in rooms or not room)
