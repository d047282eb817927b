"""dvc.yaml agrees with the code: a stage declares its rooms and the settings that it reads, and imports go downwards."""

import ast
import re
import subprocess
import sys
from collections import Counter
from pathlib import Path

import pytest
from closure import RESULT_FREE, ROOT, closure, imports, module_path, of_kind, relative, room, settings_room
from dvc.repo import Repo
from dvc.stage import PipelineStage
from ruamel.yaml import YAML

import erawise
from erawise import params
from erawise.models.shared import kinds

FILES = sorted([*(ROOT / "erawise").rglob("*.py"), *(ROOT / "stages").rglob("*.py")])
FACE = "erawise/__init__.py"
"""The names of the library, each of which is loaded when it is first asked for. No stage can change with it."""
MODULES = [path for path in FILES if path.stat().st_size and relative(path) != FACE]
SOURCES = ("local", "market", "numerai")
OF_EACH_MODEL = ("train", "explain")
"""Stages with an instance for each model, made of only the room of the model's kind."""
OF_ALL_KINDS = ("tune", "refit")
"""Stages that may load any kind."""

THIRD_PARTY = {
    "numerapi": ("erawise/sources/numerai", "erawise/live"),
    "matplotlib": ("erawise/charts", "erawise/report"),
    "lightgbm": ("erawise/models/lightgbm", "erawise/upload"),
    "sklearn": ("erawise/models/logistic", "erawise/models/random_forest", "erawise/lab"),
    "skops": ("erawise/models/shared",),
    "tensorflow": ("erawise/models/neural_network",),
    "keras": ("erawise/models/neural_network",),
    "numba": ("erawise/base",),
    "optuna": ("erawise/tuning",),
    "distributed": ("erawise/cluster",),
    "dask": ("erawise/cluster",),
    "cloudpickle": ("erawise/cluster",),
    "dvc": ("erawise/history",),
    "dvc_data": ("erawise/history",),
    "altair": ("erawise/report",),
    "vl_convert": ("erawise/report",),
    "wandb": ("erawise/history",),
    "cyclopts": ("erawise/commands",),
    "tqdm": ("erawise/running",),
    "numerai_tools": (),
}
"""The rooms that may import a library."""

FLOORS = (
    ("base", "running"),
    ("panel", "scores", "regimes", "sources", "folds", "predictions.py", "evaluation", "preparation", "exploration", "models"),
    ("selection", "training", "blend", "tuning", "explanation"),
    ("charts",),
    ("params.py", "cluster", "history", "outlook"),
    ("live", "report", "upload", "lab", "scoring"),
    ("commands", "__main__.py"),
)
"""The rooms from the lowest floor up: each imports only rooms of its own floor or of lower floors."""
UPWARDS = {("erawise/tuning/model_search.py", "erawise/cluster")}
"""Imports of rooms that change no result, which a lower room may load by name."""

RERUNS: dict[str, set[str]] = {
    "erawise/running/progress.py": set(),
    "erawise/running/runner.py": set(),
    "erawise/cluster/dispatch.py": set(),
    "erawise/cluster/settings.py": set(),
    "erawise/history/ledger.py": set(),
    "erawise/history/settings.py": set(),
    "erawise/params.py": set(),
    "erawise/live/submission.py": set(),
    "erawise/live/settings.py": set(),
    "erawise/report/page.py": set(),
    "erawise/outlook/staking.py": set(),
    "erawise/outlook/settings.py": set(),
    "erawise/upload/runtime.py": set(),
    "erawise/lab/lab.py": set(),
    "erawise/sources/market/settings.py": {"download"},
    "erawise/sources/numerai/client.py": set(),
    "erawise/preparation/preparation.py": {"preprocess", "split"},
    "erawise/exploration/settings.py": {"explore"},
    "erawise/folds/settings.py": {"split", "select_features", "tune", "train", "refit", "explain", "ensemble", "neutralize", "plot"},
    "erawise/selection/settings.py": {"select_features"},
    "erawise/tuning/search.py": {"tune"},
    "erawise/tuning/settings.py": {"tune"},
    "erawise/training/settings.py": {"tune", "train", "refit", "explain"},
    "erawise/models/ridge/model.py": {"tune", "refit", "train@ridge", "explain@ridge"},
    "erawise/models/ridge/settings.py": {"tune", "refit", "train@ridge", "explain@ridge"},
    "erawise/models/lightgbm/model.py": {"select_features", "tune", "refit", "train@lightgbm", "explain@lightgbm"},
    "erawise/models/lightgbm/settings.py": {"select_features", "tune", "refit", "train@lightgbm", "explain@lightgbm"},
    "erawise/models/shared/stored.py": {"select_features", "tune", "train", "refit", "explain"},
    "erawise/explanation/settings.py": {"explain", "plot"},
    "erawise/blend/settings.py": {"ensemble", "neutralize"},
    "erawise/evaluation/settings.py": {"tune", "ensemble", "neutralize", "evaluate", "plot"},
    "erawise/regimes/settings.py": {"tune", "ensemble", "neutralize", "evaluate"},
    "erawise/regimes/regimes.yaml": {"tune", "ensemble", "neutralize", "evaluate"},
    "erawise/charts/settings.py": {"plot"},
    "erawise/charts/erawise.mplstyle": {"plot"},
    "stages/train.py": {"train"},
}
"""The stages that run again after an edit of a file. A stage of each model stands for all its instances, unless one is named."""


def declared() -> dict[str, dict]:
    """Return the stages of dvc.yaml. A stage of each model has a model of every kind, and so has a refitted one."""
    content = YAML(typ="safe").load((ROOT / "dvc.yaml").read_text())["stages"]
    found = {}
    for name, stage in content.items():
        if "foreach" not in stage:
            found[name] = stage
        elif name in OF_EACH_MODEL:
            found |= {f"{name}@{kind}": _filled(stage["do"], kind) for kind in kinds.names()}
        else:
            found[name] = _filled(stage["do"], "ridge")
    return found


def _filled(stage: dict, kind: str) -> dict:
    text = str(stage).replace("${item.kind}", kind).replace("${key}", kind).replace("${item}", kind)
    filled: dict = ast.literal_eval(text)
    return filled


DECLARED = declared()


def stages() -> list[PipelineStage]:
    return [stage for stage in Repo(ROOT).index.stages if isinstance(stage, PipelineStage)]


def script(name: str) -> Path:
    stage = name.partition("@")[0]
    module = re.match(rf"python -m stages\.{stage}( |$)", DECLARED[name]["cmd"])
    assert module, f"{name}: expected the command python -m stages.{stage}"
    return ROOT / "stages" / f"{stage}.py"


def code(name: str, source: str = "market") -> set[str]:
    """Return the deps of a stage that are code."""
    deps = (dep.replace("${data.source}", source) for dep in DECLARED[name]["deps"])
    return {dep for dep in deps if dep.startswith(("erawise/", "stages/"))}


def made_of(name: str, source: str = "market") -> set[str]:
    """Return the rooms of a stage: the rooms that its script imports, and the rooms whose settings it reads."""
    stage, _, kind = name.partition("@")
    start = [script(name)]
    if stage == "download":
        start += sorted((ROOT / "erawise" / "sources" / source).glob("*.py"))
    if kind:
        start += of_kind(kind)
    if stage in OF_ALL_KINDS:
        start += [path for each in kinds.names() for path in of_kind(each)]
    read = {chain.split(".")[0] for chain in params_read(start[0])} - {"models"}
    rooms = {room(file) for file in closure(*start)} | {settings_room(section) for section in read}
    if stage in OF_ALL_KINDS:
        rooms = {"erawise/models" if each.startswith("erawise/models/") else each for each in rooms}
    return rooms - set(RESULT_FREE)


@pytest.mark.parametrize("name", sorted(DECLARED))
def test_a_stage_declares_the_rooms_that_it_is_made_of(name: str) -> None:
    assert code(name) == made_of(name)


@pytest.mark.parametrize("source", SOURCES)
def test_download_declares_the_room_of_every_source(source: str) -> None:
    assert code("download", source) == made_of("download", source)


@pytest.mark.parametrize("edited", RERUNS)
def test_an_edit_runs_the_stages_again_that_are_made_of_it_and_no_other(edited: str) -> None:
    assert (ROOT / edited).is_file()
    found = {name for name in DECLARED if any(edited == dep or edited.startswith(f"{dep}/") for dep in code(name))}
    expected = {name for name in DECLARED if {name, name.partition("@")[0]} & RERUNS[edited]}
    assert found == expected


def test_no_stage_declares_a_room_that_changes_no_result_or_that_no_result_needs() -> None:
    upstairs = {f"erawise/{each}" for floor in FLOORS[4:] for each in floor}
    assert set(RESULT_FREE) - {"erawise/running"} <= upstairs
    for name in DECLARED:
        assert not code(name) & (set(RESULT_FREE) | upstairs), name


def test_running_needs_no_library_of_numbers() -> None:
    files = closure(*(ROOT / "erawise" / "running").glob("*.py"), through=True)
    libraries = {name.split(".")[0] for file in files for name in imports(ROOT / file)}
    assert not libraries & {"numpy", "pandas", "pyarrow", "scipy", "numba"}


def test_nothing_that_writes_an_out_reaches_the_history_or_a_room_that_no_stage_needs() -> None:
    upstairs = {f"erawise/{each}" for floor in FLOORS[4:] for each in floor} - {"erawise/cluster", "erawise/params.py"}
    for name in DECLARED:
        start = [script(name), *(path for kind in kinds.names() for path in of_kind(kind))]
        reached = {file for file in closure(*start, through=True) if Path(file).name != "settings.py"}
        assert not {file for file in reached if room(file) in upstairs}, name


def test_the_settings_are_read_without_any_engine() -> None:
    heavy = ("numpy", "pandas", "pyarrow", "lightgbm", "sklearn", "tensorflow", "keras", "optuna", "matplotlib", "dask", "dvc", "numerapi")
    check = f"import sys, erawise.params; print([name for name in {heavy} if name in sys.modules])"
    done = subprocess.run([sys.executable, "-c", check], cwd=ROOT, capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "[]"


@pytest.mark.parametrize("section", params.Params.model_fields)
def test_each_section_of_the_settings_is_owned_by_a_room(section: str) -> None:
    if section not in ("data", "models"):
        assert (ROOT / settings_room(section) / "settings.py").is_file()


def test_arrows_run_downwards() -> None:
    for path in MODULES:
        own = relative(path)
        if own.startswith("stages/"):
            continue
        if path.name == "settings.py":
            allowed = {"erawise/base"} | ({"erawise/models"} if own.startswith("erawise/models/") else set())
            assert {_top(target) for target in _imported(path)} - {_top(own)} <= allowed, f"{own} is more than settings"
            continue
        for target in (each for each in _imported(path) if Path(each).name != "settings.py"):
            assert _floor(target) <= _floor(own) or (own, _top(target)) in UPWARDS, f"{own} imports {target}, which is above it"


def test_there_is_no_circle_of_modules_or_of_rooms() -> None:
    files = {relative(path): _imported(path) for path in MODULES}
    _require_no_circle(files)
    rooms: dict[str, set[str]] = {}
    for file, targets in files.items():
        if room(file) not in RESULT_FREE and Path(file).name != "settings.py":
            own = {room(target) for target in targets if Path(target).name != "settings.py"}
            rooms.setdefault(room(file), set()).update(own - {room(file), *RESULT_FREE})
    _require_no_circle(rooms)


def test_a_kind_of_model_imports_no_other() -> None:
    for kind in kinds.names():
        others = {f"erawise/models/{other}" for other in kinds.names()} - {f"erawise/models/{kind}"}
        assert not {room(target) for path in of_kind(kind) for target in _imported(path)} & others


def test_libraries_are_imported_in_their_own_rooms_alone() -> None:
    for path in MODULES:
        for name in {name.split(".")[0] for name in imports(path)} & set(THIRD_PARTY):
            assert relative(path).startswith(THIRD_PARTY[name]), f"{relative(path)} imports {name}"


def test_a_stage_is_one_file_and_imports_no_other() -> None:
    scripts = {path.stem for path in (ROOT / "stages").glob("*.py")} - {"__init__"}
    assert scripts == {name.partition("@")[0] for name in DECLARED}
    for path in (ROOT / "stages").glob("*.py"):
        assert not {name for name in imports(path) if name.startswith("stages")}


def test_packages_are_empty_so_that_they_need_not_be_deps() -> None:
    assert [relative(path) for path in FILES if path.name == "__init__.py" and path.stat().st_size] == [FACE]


def test_no_module_of_ours_asks_the_package_for_a_name_that_it_loads() -> None:
    names = {f"erawise.{name}" for name in erawise.__all__}
    assert not [relative(path) for path in FILES if relative(path) != FACE and imports(path) & names]


def test_no_two_files_have_the_same_name_but_the_same_part_of_two_rooms() -> None:
    names = Counter(path.stem for path in MODULES if relative(path).startswith("erawise/") and room(relative(path)) != "erawise/commands")
    assert {name for name, count in names.items() if count > 1} <= {"settings", "model", "source"}


def test_every_data_dep_is_an_out_of_a_stage_or_kept_in_git() -> None:
    outs = {relative(Path(out.fs_path)) for stage in stages() for out in stage.outs}
    for stage in stages():
        for name in _data(stage) - {"data/local", "plugins"}:
            assert any(out == name or out.startswith(f"{name}/") or name.startswith(f"{out}/") for out in outs), (
                f"{stage.name} depends on {name}, which no stage makes"
            )


def test_no_out_lies_inside_a_dep_of_its_own_stage() -> None:
    for stage in stages():
        for out in stage.outs:
            path = relative(Path(out.fs_path))
            assert not any(path == dep or path.startswith(f"{dep}/") for dep in _data(stage)), f"{stage.name}: {path}"


def test_validation_targets_are_seen_by_the_stages_alone_after_which_nothing_is_chosen() -> None:
    data = {name: set(stage["deps"]) for name, stage in DECLARED.items()}
    readers = {name.split("@")[0] for name, deps in data.items() if "data/prepared/validation_targets.parquet" in deps}
    assert readers == {"evaluate", "plot", "refit", "explain", "split"}
    assert {name for name, deps in data.items() if "data/released.parquet" in deps} == {
        name for name in data if name.startswith("train@")
    }, "split hands the targets on to models that are retrained, and to nothing that chooses"
    explained = {name for name, deps in data.items() if any(dep.startswith("data/explained") for dep in deps)}
    assert explained == {"plot"}, "what is known of validation from explaining a model must not choose anything"
    assert not {dep for deps in data.values() for dep in deps if dep.startswith("plots")}
    assert not {dep for deps in data.values() for dep in deps if dep.startswith("data/final")}, "no score says anything of a refitted model"


def test_every_stage_says_what_it_does() -> None:
    assert all(stage["desc"] for stage in DECLARED.values())


def test_the_pipeline_and_its_lock_are_short() -> None:
    assert len((ROOT / "dvc.yaml").read_text().splitlines()) <= 400
    assert len((ROOT / "dvc.lock").read_text().splitlines()) <= 2300


def params_read(path: Path, whole_name: str = "p") -> set[str]:
    """Return the attribute chains on a name, `p` in a stage; `p.models[name]` and `params.model(p, name)` are `models.*`."""
    tree = ast.parse(path.read_text())
    chains: set[str] = set()
    inner: set[int] = set()
    for node in ast.walk(tree):
        if isinstance(node, ast.Call) and ast.unparse(node.func) == "params.model":
            inner.add(id(node.args[0]))
            chains.add("models.*")
        if isinstance(node, ast.Attribute | ast.Subscript) and id(node) not in inner:
            names: list[str] = []
            current: ast.expr = node
            while isinstance(current, ast.Attribute | ast.Subscript):
                inner.add(id(current))
                names.append(current.attr if isinstance(current, ast.Attribute) else "*")
                current = current.value
            if isinstance(current, ast.Name) and current.id == whole_name:
                inner.add(id(current))
                chains.add(".".join(reversed(names)))
    whole = [
        node
        for node in ast.walk(tree)
        if isinstance(node, ast.Name) and node.id == whole_name and isinstance(node.ctx, ast.Load) and id(node) not in inner
    ]
    assert not whole, f"{path}: the params are passed on whole, so that nobody can see what is read"
    return chains


@pytest.mark.parametrize("name", sorted(set(DECLARED) - {"download"}))
def test_params_declared_are_the_params_read(name: str) -> None:
    kind = name.partition("@")[2]
    listed = DECLARED[name].get("params", [])
    given = {re.sub(rf"^models\.{kind or 'ridge'}$", "models.*", each) for each in listed}
    _compare(name, params_read(script(name)), given)


def test_download_declares_what_its_sources_read() -> None:
    assert params_read(ROOT / "stages/download.py") == {"data.source", "data"}
    keys = {name: field.alias or name for name, field in params.Data.model_fields.items()}
    chains = {chain for source in SOURCES for chain in params_read(ROOT / f"erawise/sources/{source}/source.py", "data")}
    read = {f"data.{keys.get(chain, chain)}" for chain in chains}
    assert set(DECLARED["download"]["params"]) == read | {"data.source"}


def _compare(name: str, read: set[str], given: set[str]) -> None:
    for each in given:
        assert any(chain == each or chain.startswith(f"{each}.") for chain in read), f"{name} declares {each} and doesn't read it"
    for chain in read:
        section = chain.split(".")[0]
        if section == "models" or settings_room(section) not in RESULT_FREE:
            assert any(chain == each or chain.startswith(f"{each}.") for each in given), f"{name} reads {chain} and doesn't declare it"


def _data(stage: PipelineStage) -> set[str]:
    """Return the deps of a stage that aren't code."""
    local = (dep for dep in stage.deps if dep.protocol == "local" and not dep.is_plot and not hasattr(dep, "params"))
    names = {Path(dep.fs_path).resolve().relative_to(ROOT).as_posix() for dep in local}
    return {name for name in names if not name.startswith(("erawise/", "stages/"))}


def _imported(path: Path) -> set[str]:
    """Return the files of ours that a file imports."""
    return {relative(target) for name in imports(path) if (target := module_path(name)) is not None} - {relative(path)}


def _top(file: str) -> str:
    return "/".join(file.split("/")[:2])


def _floor(file: str) -> int:
    own = file.split("/")[1]
    return next(number for number, rooms in enumerate(FLOORS) if own in rooms)


def _require_no_circle(arrows: dict[str, set[str]]) -> None:
    done: set[str] = set()

    def visit(name: str, way: tuple[str, ...]) -> None:
        assert name not in way, f"a circle: {' → '.join((*way, name))}"
        if name not in done:
            for target in arrows.get(name, ()):
                visit(target, (*way, name))
            done.add(name)

    for name in arrows:
        visit(name, ())
