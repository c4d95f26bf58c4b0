"""Local JSONL files: found, streamed, and refused with file and line."""

from __future__ import annotations

import gzip
import json
from pathlib import Path

import pytest

from prefrepro.data.jsonl import read_jsonl
from prefrepro.data.local import data_files, load_rows
from prefrepro.data.rows import Counts, parse_preference, parse_ranked
from prefrepro.errors import UserError

GOOD = {"prompt": "Hi", "chosen": "Hello.", "rejected": "Nö."}
LINE = json.dumps(GOOD, ensure_ascii=False).encode() + b"\n"


def test_plain_and_gzipped_files_are_streamed_with_line_numbers(tmp_path: Path) -> None:
    content = b"\xef\xbb\xbf" + LINE + b"\n  \n" + LINE.rstrip()  # a byte order mark, blank lines, no last newline
    (tmp_path / "a.jsonl").write_bytes(content)
    (tmp_path / "b.jsonl.gz").write_bytes(gzip.compress(content))
    (tmp_path / "c.jsonl").write_bytes(gzip.compress(content))
    for name in ("a.jsonl", "b.jsonl.gz", "c.jsonl"):
        assert list(read_jsonl(tmp_path / name)) == [(1, GOOD), (4, GOOD)]


@pytest.mark.parametrize(
    ("line", "expected"),
    [
        (b'{"prompt": "Hi", \n', "not valid JSON"),
        (b"[1, 2]\n", "JSON of type list; expected a JSON object"),
        (b"null\n", "JSON of type NoneType"),
        (b'{"prompt": "caf\xe9"}\n', "byte 0xe9 at position 15 is not UTF-8"),
        (b'{"score": ' + b"1" * 5000 + b"}\n", "not readable as JSON"),
    ],
)
def test_a_bad_line_stops_or_is_counted(tmp_path: Path, line: bytes, expected: str) -> None:
    path = tmp_path / "bad.jsonl"
    path.write_bytes(LINE + line + LINE)
    with pytest.raises(UserError) as error:
        list(read_jsonl(path))
    assert str(error.value).startswith(f"{path}, line 2: ")
    assert expected in str(error.value)

    counts = Counts()
    assert [number for number, _ in read_jsonl(path, "skip", counts)] == [1, 3]
    assert counts["bad_rows"] == 1
    assert expected in counts.first_locations["bad_rows"][0]


@pytest.mark.parametrize("kept", [0.3, 0.9])
def test_a_truncated_gzip_stops_even_where_bad_rows_are_skipped(tmp_path: Path, kept: float) -> None:
    path = tmp_path / "cut.jsonl.gz"
    whole = gzip.compress(b"".join(json.dumps({**GOOD, "n": n**9}).encode() + b"\n" for n in range(2000)))
    path.write_bytes(whole[: int(len(whole) * kept)])
    with pytest.raises(
        UserError, match=r"cut\.jsonl\.gz: the gzip stream breaks off .* after line \d+.*fetch it again"
    ):
        list(read_jsonl(path, "skip", Counts()))


def test_a_damaged_gzip_stops(tmp_path: Path) -> None:
    whole = bytearray(gzip.compress(LINE * 50))
    whole[-6] ^= 0xFF  # the checksum
    (tmp_path / "damaged.jsonl.gz").write_bytes(whole)
    with pytest.raises(UserError, match="breaks off or is damaged after line 50"):
        list(read_jsonl(tmp_path / "damaged.jsonl.gz"))


@pytest.mark.parametrize("content", [b"", b"\n\n", gzip.compress(b"", mtime=0)])
def test_an_empty_file_stops(tmp_path: Path, content: bytes) -> None:
    (tmp_path / "empty.jsonl.gz" if content[:1] == b"\x1f" else tmp_path / "empty.jsonl").write_bytes(content)
    with pytest.raises(UserError, match=r"the file is empty\. Expected one JSON object per line"):
        list(read_jsonl(data_files(tmp_path)[0]))


def test_files_that_are_not_what_they_seem(tmp_path: Path) -> None:
    pointer = tmp_path / "train.jsonl.gz"
    pointer.write_text("version https://git-lfs.github.com/spec/v1\noid sha256:ab\nsize 12\n")
    with pytest.raises(UserError, match=r"a Git LFS pointer; expected the data itself\. Run `git lfs pull`"):
        list(read_jsonl(pointer))
    pointer.write_bytes(LINE)
    with pytest.raises(UserError, match="not in gzip format, against its name"):
        list(read_jsonl(pointer))
    with pytest.raises(UserError, match="cannot be read"):
        list(read_jsonl(tmp_path / "missing.jsonl"))
    with pytest.raises(UserError, match="cannot be read"):
        list(read_jsonl(tmp_path))


def test_files_from_a_path_several_a_glob_and_a_folder(tmp_path: Path) -> None:
    names = ["harmless/test.jsonl.gz", "harmless/train.jsonl.gz", "helpful_test.jsonl", "notes.txt"]
    for name in names:
        (tmp_path / name).parent.mkdir(exist_ok=True)
        (tmp_path / name).write_bytes(LINE)
    one, train, two, notes = [tmp_path / name for name in names]
    assert data_files(notes) == [notes]
    assert data_files([str(two), one, two]) == [two, one]
    assert data_files(f"{tmp_path}/*_test.*") == [two]
    assert data_files(f"{tmp_path}/**/*.gz", "train") == [train]
    assert data_files(tmp_path) == [one, train, two]
    assert data_files(tmp_path, "test") == [one, two]
    assert data_files(train, "test") == [train]


def test_no_file_found_is_said(tmp_path: Path) -> None:
    for missing in (tmp_path / "gone.jsonl", f"{tmp_path}/*.jsonl", tmp_path):
        with pytest.raises(UserError, match=r"no such file.*Expected a file, a folder or a glob"):
            data_files(missing)
    (tmp_path / "test.jsonl").write_bytes(LINE)
    with pytest.raises(UserError, match=r'no file of split "train" among test\.jsonl'):
        data_files(tmp_path, "train")
    with pytest.raises(UserError, match="No data file was named"):
        data_files([])


def test_load_rows_joins_files_and_counts_across_them(tmp_path: Path) -> None:
    (tmp_path / "a.jsonl").write_bytes(LINE)
    (tmp_path / "b.jsonl").write_bytes(b"{}\n" + LINE + b"oops\n")
    counts = Counts()
    rows = list(load_rows(tmp_path, parse_preference, on_bad_row="skip", counts=counts))
    assert [row.rejected for row in rows] == ["Nö.", "Nö."]
    assert (counts["rows"], counts["bad_rows"], counts["duplicate_prompts"]) == (2, 2, 1)
    assert counts.first_locations["duplicate_prompts"] == [f"{tmp_path / 'b.jsonl'}, line 2"]


def test_load_rows_of_ranked_rows(tmp_path: Path) -> None:
    (tmp_path / "ranked.jsonl").write_text('{"prompt": "Hi", "completions": ["a", "b"], "scores": [1, 2]}\n')
    (row,) = load_rows(tmp_path, parse_ranked, counts=Counts())
    assert row.scores == [1.0, 2.0]


def test_skipping_every_row_is_an_error(tmp_path: Path) -> None:
    (tmp_path / "a.jsonl").write_bytes(b"{}\n")
    with pytest.raises(UserError, match=r"no usable row \(1 bad\). The first: .*line 1"):
        list(load_rows(tmp_path, parse_preference, on_bad_row="skip", counts=Counts()))
