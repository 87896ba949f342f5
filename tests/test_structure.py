"""The shape of the code base: who may import whom, what importing costs, how long things may be."""

from __future__ import annotations

import ast
import re
import subprocess
import sys
from collections.abc import Iterator
from functools import cache
from pathlib import Path

import pytest

REPOSITORY = Path(__file__).resolve().parent.parent
LIBRARY = REPOSITORY / "lib_omg"

MAX_FUNCTION_LINES = 40
MAX_MODULE_LINES = 300
MAX_PARAMETERS = 7

ROOMS: dict[str, frozenset[str]] = {
    "core": frozenset({"core"}),
    "vision": frozenset({"core", "vision"}),
    "faces": frozenset({"core", "vision", "faces"}),
    "host": frozenset({"core", "vision", "faces", "host"}),
    "ui": frozenset({"core", "vision", "faces", "host", "ui"}),
}
"""The arrow of DESIGN: each room of lib_omg, and the rooms it may import."""

HEAVY = (
    "gradio",
    "transformers",
    "torchvision",
    "segment_anything",
    "onnxruntime",
    "insightface",
    "ultralytics",
    "mobile_sam",
)
"""Libraries that are imported where they are used, never when a module of core or vision is imported."""


@cache
def repository_files() -> tuple[Path, ...]:
    """Every file that is tracked or that a commit would take up."""
    command = ["git", "ls-files", "-z", "--cached", "--others", "--exclude-standard"]
    listing = subprocess.run(command, cwd=REPOSITORY, capture_output=True, check=True, text=True).stdout
    paths = (REPOSITORY / name for name in listing.split("\0") if name)
    return tuple(path for path in paths if path.is_file())


def python_files(folder: Path) -> list[Path]:
    return [path for path in repository_files() if path.suffix == ".py" and path.is_relative_to(folder)]


@cache
def parsed(path: Path) -> ast.Module:
    return ast.parse(path.read_text(encoding="utf8"), str(path))


def imported_modules(path: Path) -> Iterator[str]:
    """Full dotted names of all imports in a file, lazy ones and those for types too; `from a import b` gives `a.b`."""
    package = path.relative_to(REPOSITORY).parent.parts
    for node in ast.walk(parsed(path)):
        if isinstance(node, ast.Import):
            yield from (alias.name for alias in node.names)
        elif isinstance(node, ast.ImportFrom):
            base = package[: len(package) - node.level + 1] if node.level else ()
            origin = ".".join([*base, *([node.module] if node.module else [])])
            yield from (f"{origin}.{alias.name}" for alias in node.names)


def room_of(path: Path) -> str:
    """The folder of lib_omg a file lies in; empty for lib_omg's own `__init__.py`."""
    parts = path.relative_to(LIBRARY).parts
    return parts[0] if len(parts) > 1 else ""


def test_every_room_is_known() -> None:
    """A new folder in lib_omg has to be given its place in the arrow."""
    assert {room_of(path) for path in python_files(LIBRARY)} - {""} <= set(ROOMS)


def test_lib_omg_imports_along_the_arrow() -> None:
    wrong = []
    for path in python_files(LIBRARY):
        for name in imported_modules(path):
            parts = name.split(".")
            if parts[0] == "lib_omg" and len(parts) > 1 and parts[1] in ROOMS:
                if parts[1] not in ROOMS.get(room_of(path), ()):
                    wrong.append(f"{path.relative_to(REPOSITORY)} imports {name}")
            elif parts[0] in {"scripts", "devhost", "toyworld", "bench", "tests", "install"}:
                wrong.append(f"{path.relative_to(REPOSITORY)} imports {name}")
    assert wrong == []


def test_core_imports_torch_and_the_standard_library_only() -> None:
    allowed = sys.stdlib_module_names | {"torch", "lib_omg"}
    wrong = [
        f"{path.relative_to(REPOSITORY)} imports {name}"
        for path in python_files(LIBRARY / "core")
        for name in imported_modules(path)
        if name.split(".")[0] not in allowed
    ]
    assert wrong == []


def test_only_host_ui_and_scripts_import_the_webui() -> None:
    pure = [path for path in python_files(LIBRARY) if room_of(path) not in {"host", "ui"}]
    pure += [*python_files(REPOSITORY / "toyworld"), REPOSITORY / "install.py"]
    allowed = {REPOSITORY / "install.py": {"launch"}}
    wrong = [
        f"{path.relative_to(REPOSITORY)} imports {name}"
        for path in pure
        if "prototype" not in path.parts
        for name in imported_modules(path)
        if name.split(".")[0] in {"modules", "networks", "launch"} - allowed.get(path, set())
    ]
    assert wrong == []


def test_only_ui_and_scripts_import_gradio() -> None:
    wrong = [
        f"{path.relative_to(REPOSITORY)} imports {name}"
        for path in python_files(LIBRARY)
        for name in imported_modules(path)
        if name.split(".")[0] == "gradio" and room_of(path) != "ui"
    ]
    assert wrong == []


def test_scripts_holds_just_the_composition_root() -> None:
    """The WebUI executes every file in scripts/, so nothing else may lie there."""
    found = [path.name for path in repository_files() if path.is_relative_to(REPOSITORY / "scripts")]
    assert found == ["omg.py"]


def run_python(code: str) -> str:
    """What `code` prints in a fresh interpreter that finds this repository."""
    command = [sys.executable, "-W", "error::ResourceWarning", "-c", code]
    done = subprocess.run(command, cwd=REPOSITORY, capture_output=True, check=False, text=True)
    assert done.returncode == 0, done.stderr
    return done.stdout


@pytest.mark.parametrize("module", ["lib_omg", "lib_omg.core.errors", "lib_omg.core.settings"])
def test_importing_it_loads_the_standard_library_only(module: str) -> None:
    code = f"import sys; before = set(sys.modules); import {module}; print(*(set(sys.modules) - before))"

    loaded = {name.split(".")[0] for name in run_python(code).split()}

    assert loaded - set(sys.stdlib_module_names) == {"lib_omg"}


def test_importing_core_and_vision_prints_nothing_and_loads_nothing_heavy() -> None:
    paths = [path for room in ("core", "vision", "faces") for path in python_files(LIBRARY / room)]
    names = [".".join(path.relative_to(REPOSITORY).with_suffix("").parts).removesuffix(".__init__") for path in paths]
    assert "lib_omg.core.settings" in names
    code = f"import importlib, sys\nfor n in {names!r}: importlib.import_module(n)\n"
    code += f"loaded = [n for n in {HEAVY!r} if n in sys.modules]\nif loaded: print('heavy:', *loaded)"

    assert run_python(code) == ""


def functions(path: Path) -> Iterator[ast.FunctionDef | ast.AsyncFunctionDef]:
    for node in ast.walk(parsed(path)):
        if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef):
            yield node


def line_count(node: ast.FunctionDef | ast.AsyncFunctionDef) -> int:
    assert node.end_lineno is not None
    return node.end_lineno - node.lineno + 1


def parameter_count(node: ast.FunctionDef | ast.AsyncFunctionDef) -> int:
    """Named parameters, without `self` and `cls`."""
    names = [arg.arg for arg in (*node.args.posonlyargs, *node.args.args, *node.args.kwonlyargs)]
    return len(names) - (names[:1] in (["self"], ["cls"]))


def small_code() -> list[Path]:
    return [*python_files(LIBRARY), *python_files(REPOSITORY / "scripts"), REPOSITORY / "install.py"]


def test_modules_are_short() -> None:
    lengths = {path.relative_to(REPOSITORY): len(path.read_text(encoding="utf8").splitlines()) for path in small_code()}
    assert {str(path): lines for path, lines in lengths.items() if lines > MAX_MODULE_LINES} == {}


def test_functions_are_short() -> None:
    lengths = {
        f"{path.relative_to(REPOSITORY)}: {f.name}": line_count(f) for path in small_code() for f in functions(path)
    }
    assert {where: lines for where, lines in lengths.items() if lines > MAX_FUNCTION_LINES} == {}


def test_functions_take_few_parameters() -> None:
    counts = {
        f"{path.relative_to(REPOSITORY)}: {f.name}": parameter_count(f)
        for path in small_code()
        for f in functions(path)
    }
    assert {where: count for where, count in counts.items() if count > MAX_PARAMETERS} == {}


MACHINE_PATH = re.compile(r"(?<![\w.~)}])/(?:work|root|home|Users)/|[A-Z]:\\Users\\")
"""An absolute path into somebody's machine; a path in a URL or below a variable is none."""


@pytest.mark.parametrize(
    ("text", "found"),
    [
        ("open('" + "/" + "work/main/x')", True),
        ("see " + "/" + "home/me/webui", True),
        ("https://example.org/home/page", False),
        ("$(HOME)/" + "work/x ~/" + "work/x", False),
    ],
)
def test_machine_paths_are_recognised(text: str, found: bool) -> None:
    assert bool(MACHINE_PATH.search(text)) is found


def test_no_file_names_a_path_of_somebodys_machine() -> None:
    wrong = []
    for path in repository_files():
        try:
            text = path.read_text(encoding="utf8")
        except UnicodeDecodeError:
            continue
        wrong += [f"{path.relative_to(REPOSITORY)}: {match.group()}" for match in MACHINE_PATH.finditer(text)]
    assert wrong == []
