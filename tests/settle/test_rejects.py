"""The file of rejects: what it takes, and that it does not grow for ever."""

import json
from pathlib import Path

from farebox.settle.rejects import Rejects
from farebox.settle.sources import RawLine


def test_a_full_file_takes_no_more_until_it_is_emptied(tmp_path: Path) -> None:
    path = tmp_path / "rejects.jsonl"
    rejects = Rejects(path, bytes_max=180)
    written = [rejects.add(_line(number), "no token") for number in range(1, 6)]
    assert [True, True, True, False, False] == written
    assert [1, 2, 3] == [json.loads(line)["line"] for line in path.read_text().splitlines()]
    path.write_bytes(b"")
    assert rejects.add(_line(6), "no token")
    path.unlink()
    assert rejects.add(_line(7), "no token")
    assert {"file": "access.log", "line": 7, "reason": "no token", "text": "GET /"} == json.loads(path.read_text())
    assert 0o600 == path.stat().st_mode & 0o777


def _line(number: int) -> RawLine:
    return RawLine("access.log", number, b"GET /", lambda: None)
