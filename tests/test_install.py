"""install.py, with a stand-in for the host's `launch` module."""

from __future__ import annotations

import ast
import runpy
import sys
from pathlib import Path
from types import SimpleNamespace

import pytest

import install

REPOSITORY = Path(install.__file__).resolve().parent


class FakeLaunch:
    """The part of the host's `launch` that install.py uses; keeps the calls of `run_pip`."""

    def __init__(self) -> None:
        self.args = SimpleNamespace(skip_install=False)
        self.pip_calls: list[str] = []

    def run_pip(self, command: str, desc: str) -> None:
        assert desc
        self.pip_calls.append(command)


@pytest.fixture
def launch(monkeypatch: pytest.MonkeyPatch) -> FakeLaunch:
    fake = FakeLaunch()
    monkeypatch.setitem(sys.modules, "launch", fake)
    monkeypatch.setattr(sys, "argv", ["install.py"])
    return fake


def requirements(folder: Path, *lines: str) -> Path:
    path = folder / "requirements.txt"
    path.write_text("\n".join(lines) + "\n", encoding="utf8")
    return path


def test_as_shipped_calls_no_pip(launch: FakeLaunch) -> None:
    runpy.run_path(str(REPOSITORY / "install.py"), run_name="__main__")

    assert launch.pip_calls == []


def test_as_shipped_needs_segment_anything_alone() -> None:
    assert install.read_requirements(install.REQUIREMENTS) == ["segment-anything"]


def test_nothing_missing_calls_no_pip(launch: FakeLaunch, tmp_path: Path) -> None:
    install.main(requirements(tmp_path, "# a comment", "", "pytest  # with a comment"))

    assert launch.pip_calls == []


def test_missing_packages_are_installed_in_one_call(launch: FakeLaunch, tmp_path: Path) -> None:
    install.main(requirements(tmp_path, "no-such-package-a>=2,<3", "pytest", "no_such.package_b"))

    assert launch.pip_calls == ['install "no-such-package-a>=2,<3" "no_such.package_b"']


def test_an_installed_package_is_not_upgraded(launch: FakeLaunch, tmp_path: Path) -> None:
    install.main(requirements(tmp_path, "pytest>=999"))

    assert launch.pip_calls == []


def test_skip_install_of_the_host_is_honoured(launch: FakeLaunch, tmp_path: Path) -> None:
    launch.args.skip_install = True

    install.main(requirements(tmp_path, "no-such-package-a"))

    assert launch.pip_calls == []


def test_skip_install_on_the_command_line_is_honoured(
    launch: FakeLaunch, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(sys, "argv", ["install.py", "--skip-install"])

    install.main(requirements(tmp_path, "no-such-package-a"))

    assert launch.pip_calls == []


@pytest.mark.parametrize("line", ["torch==2.1.2", "Pillow>=10", "huggingface_hub", "open_clip.torch", "numpy<2"])
def test_a_package_of_the_host_is_refused(launch: FakeLaunch, tmp_path: Path, line: str) -> None:
    with pytest.raises(ValueError, match="the WebUI does not ship"):
        install.main(requirements(tmp_path, "no-such-package-a", line))

    assert launch.pip_calls == []


def test_an_option_line_is_refused(launch: FakeLaunch, tmp_path: Path) -> None:
    with pytest.raises(ValueError, match="expected a package name"):
        install.main(requirements(tmp_path, "--pre"))

    assert launch.pip_calls == []


def test_imports_only_the_standard_library_and_launch() -> None:
    """It runs before the host has set anything up, in a process of its own."""
    tree = ast.parse((REPOSITORY / "install.py").read_text(encoding="utf8"))
    names = set()
    for node in ast.walk(tree):
        if isinstance(node, ast.Import):
            names |= {alias.name.split(".")[0] for alias in node.names}
        elif isinstance(node, ast.ImportFrom):
            assert node.level == 0
            names.add(str(node.module).split(".")[0])

    assert names - set(sys.stdlib_module_names) == {"launch"}
