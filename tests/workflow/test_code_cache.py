"""What was read from source files is kept between processes, and holds for what the files hold now."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from prefrepro.plan import code_digest
from prefrepro.plan.code_cache import CodeCache


@pytest.fixture
def source(tmp_path: Path) -> Path:
    path = tmp_path / "module.py"
    path.write_text("import prefrepro.errors\nx = 1\n", encoding="utf-8")
    return path


def refuse(path: Path) -> tuple[str, list[str]]:
    raise AssertionError(f"{path} was parsed again")


def filled(file: Path, source: Path) -> tuple[str, list[str]]:
    cache = CodeCache(file, "1")
    found = cache.get(source, code_digest._parsed)
    cache.save()
    return found


def test_another_process_parses_nothing(tmp_path: Path, source: Path) -> None:
    file = tmp_path / "folder" / "cache.json"
    found = filled(file, source)
    assert found[1] == ["prefrepro.errors"]
    assert CodeCache(file, "1").get(source, refuse) == found


def test_a_changed_source_or_reader_is_parsed_again(tmp_path: Path, source: Path) -> None:
    file = tmp_path / "cache.json"
    found = filled(file, source)
    with pytest.raises(AssertionError, match="parsed again"):
        CodeCache(file, "2").get(source, refuse)
    source.write_text("import prefrepro.errors\nx = 2\n", encoding="utf-8")
    assert CodeCache(file, "1").get(source, code_digest._parsed)[0] != found[0]


@pytest.mark.parametrize("torn", ["", "[]", "{", '{"%s": ["", "", []]}', '{"%s": 3}', "\0"])
def test_a_torn_or_foreign_file_is_read_over(tmp_path: Path, source: Path, torn: str) -> None:
    file = tmp_path / "cache.json"
    found = filled(file, source)
    file.write_text(torn.replace("%s", str(source)), encoding="utf-8")
    assert filled(file, source) == found
    assert json.loads(file.read_text(encoding="utf-8"))[str(source)][1] == found[0], "and written anew"


def test_where_nothing_can_be_written_it_is_parsed(tmp_path: Path, source: Path) -> None:
    (tmp_path / "file").touch()
    assert filled(tmp_path / "file" / "cache.json", source)[1] == ["prefrepro.errors"]


def test_the_digest_is_blind_to_comments_and_docstrings(source: Path) -> None:
    plain = code_digest._parsed(source)
    source.write_text('"""Text."""\nimport prefrepro.errors  # why\n\nx = 1\n"""Of x."""\n', encoding="utf-8")
    assert code_digest._parsed(source) == plain
