"""`python -m app sources check FILE`."""

from pathlib import Path

import pytest

from app.__main__ import main

GOOD = '{"message_id":"m","timestamp":"1997-01-01T12:47:43Z","user_id":"u","segments":[{"id":"s"}]}'


@pytest.mark.usefixtures("jar")
def test_each_event_of_a_file_gets_a_line(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    file = tmp_path / "cdp.events.jsonl"
    partly = GOOD.replace('"segments":[', '"traits":{},"segments":[')
    file.write_text(f"{GOOD}\n{partly}\n\n{GOOD}{{}}\n")
    assert main(["sources", "check", str(file)]) == 1
    out, err = capsys.readouterr()
    assert out.splitlines() == [
        "1\t2 records",
        "2\t2 records, without: traits: expected a list, got an object",
        "3\tdead letter: the value holds more than one JSON value",
    ]
    assert err == "1 valid, 1 in part, 1 refused.\n"
    file.write_text(GOOD)
    assert main(["sources", "check", str(file), "--records"]) == 0
    assert "\tentities-edges\tuser:u\t" in capsys.readouterr().out


def test_a_file_of_no_source_is_an_error_that_names_those_there_are(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main(["sources", "check", str(tmp_path / "other.jsonl")]) == 1
    assert "other has no contract" in capsys.readouterr().err
    assert main(["sources", "check", str(tmp_path / "cdp.events.jsonl")]) == 1
    assert "cdp.events.jsonl" in capsys.readouterr().err
