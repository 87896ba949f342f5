"""Files take their place only when they are whole."""

from __future__ import annotations

from pathlib import Path

import pytest

from toyworld.writing import replacing


def test_a_half_written_file_never_takes_its_place(tmp_path: Path) -> None:
    path = tmp_path / "new" / "report.json"

    def write(text: str, error: type[BaseException] | None = None) -> None:
        with replacing(path) as part:
            part.write_text(text)
            if error:
                raise error

    with pytest.raises(RuntimeError):
        write("half", RuntimeError)
    assert list(path.parent.iterdir()) == []
    write("whole")
    with pytest.raises(KeyboardInterrupt):
        write("half", KeyboardInterrupt)
    assert [kept.read_text() for kept in path.parent.iterdir()] == ["whole"]


def test_the_old_file_is_there_until_the_new_one_is(tmp_path: Path) -> None:
    path = tmp_path / "state"
    path.write_text("old")
    with replacing(path) as part:
        part.write_text("new")
        assert path.read_text() == "old"
    assert path.read_text() == "new"
