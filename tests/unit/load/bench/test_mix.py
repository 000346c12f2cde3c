"""Where load may go, and what a run prints."""

import shutil
from pathlib import Path

import pytest

from load.__main__ import main
from load.bench.mix import draw_requests, figures, require_loopback
from load.errors import LoadError
from load.measure.wrk_run import MixResult


@pytest.mark.parametrize(
    ("url", "base"),
    [
        ("http://127.0.0.1:8888", "http://127.0.0.1:8888"),
        ("http://127.9.9.9:1/", "http://127.9.9.9:1"),
        ("http://localhost:8888/v1", "http://localhost:8888"),
        ("http://[::1]:8888", "http://[::1]:8888"),
    ],
)
def test_loopback_is_accepted(url: str, base: str) -> None:
    assert require_loopback(url) == base


@pytest.mark.parametrize(
    "url",
    [
        "http://10.0.0.1:8888",
        "http://0.0.0.0:8888",
        "http://example.com",
        "http://127.0.0.1.example.com",
        "http://127.0.0.1@example.com",
        "http://localhost.example.com:8888",
        "https://127.0.0.1:8888",
        "127.0.0.1:8888",
        "",
    ],
)
def test_any_other_host_is_refused(url: str) -> None:
    with pytest.raises(LoadError, match=r"127\.0\.0\.1 only"):
        require_loopback(url)


def test_a_refusal_is_one_line_and_exit_code_1(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["http", "--url", "http://example.com"]) == 1
    assert capsys.readouterr().err.splitlines() == [
        "error: http://example.com is not an http:// address of this machine; load is sent to 127.0.0.1 only."
    ]


@pytest.mark.skipif(shutil.which("node") is None, reason="Node.js is not installed")
def test_requests_are_drawn_by_the_modules_of_the_k6_test(tmp_path: Path) -> None:
    csv, out = tmp_path / "entities.csv", tmp_path / "urls.txt"
    csv.write_text("id,email,cpf\n7,ana@example.com,01234567890\n")
    drawn = draw_requests(csv, out, count=300, seed=5, email_path="email")
    lines = out.read_text().splitlines()
    assert len(lines) == sum(drawn.kinds.values()) == 300
    assert sum(line.startswith("/v1/graph/7?") for line in lines) == drawn.kinds["id"]
    email = "/v1/graph/by-property/email/value/ana%40example.com?"
    assert sum(line.startswith(email) for line in lines) == drawn.kinds["email"]
    assert drawn.thresholds["http_req_duration"] == ["p(90)<1000", "p(95)<2000", "p(99)<5000"]


@pytest.mark.skipif(shutil.which("node") is None, reason="Node.js is not installed")
def test_a_csv_without_the_columns_says_so(tmp_path: Path) -> None:
    csv = tmp_path / "entities.csv"
    csv.write_text("id,mail\n1,a\n")
    with pytest.raises(LoadError, match="no column email"):
        draw_requests(csv, tmp_path / "urls.txt", count=1, seed=1, email_path="email")


def test_figures_hold_rate_percentiles_and_hits() -> None:
    result = MixResult(
        seconds=2,
        requests=10_000,
        bytes=5_000_000,
        answers=10_000,
        hits=9_500,
        wrong=3,
        failed=1,
        percentiles_ms={50: 1, 90: 2, 95: 3, 99: 4},
        max_ms=5,
    )
    text = "\n".join(figures(result))
    assert "5,000/s" in text
    assert "p50 1.00 ms, p90 2.00 ms, p95 3.00 ms, p99 4.00 ms, max 5.00 ms" in text
    assert "95.00%" in text
    assert "3 wrong answers, 1 failed" in text
