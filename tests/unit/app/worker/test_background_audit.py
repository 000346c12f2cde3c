"""What the background audit counts and says, on an auditor that a test tells what to find."""

import logging
from datetime import UTC, datetime

import pytest
from prometheus_client import REGISTRY

from app.core.audit import AuditReport, Mismatch, line_of
from app.core.errors import TransientError
from app.worker.background import AuditWatch

STALE = Mismatch(
    kind="property",
    level="memory",
    subject="mail\x1b[2J",
    cached_position=5,
    primary_position=9,
    read_at=datetime(2025, 1, 15, 10, 30, tzinfo=UTC),
)
LINE = "property mail\\x1b[2J in memory: cached at 5, read 2025-01-15T10:30:00.000000Z; primary at 9"


class ToldAuditor:
    def __init__(self) -> None:
        self.finds: AuditReport | Exception = AuditReport(checked={}, mismatches=[])

    async def audit(self, *, sample: int, grace_s: float, repair: bool = False) -> AuditReport:
        assert not repair
        if isinstance(self.finds, Exception):
            raise self.finds
        return self.finds


@pytest.fixture
def auditor() -> ToldAuditor:
    return ToldAuditor()


@pytest.fixture
def watch(auditor: ToldAuditor) -> AuditWatch:
    return AuditWatch(auditor, interval_s=1)


def counted(name: str, kind: str) -> float:
    return REGISTRY.get_sample_value(f"profile_audit_{name}_total", {"kind": kind}) or 0


def test_a_path_from_a_stranger_reaches_no_terminal_raw() -> None:
    assert line_of(STALE) == LINE


async def test_what_is_stale_is_counted_and_logged(
    watch: AuditWatch, auditor: ToldAuditor, caplog: pytest.LogCaptureFixture
) -> None:
    before = counted("checked", "fragment"), counted("checked", "property"), counted("stale", "property")
    auditor.finds = AuditReport(checked={"fragment": 7, "property": 2}, mismatches=[STALE])
    await watch.audit()
    after = counted("checked", "fragment"), counted("checked", "property"), counted("stale", "property")
    assert [b - a for a, b in zip(before, after, strict=True)] == [7, 2, 1]
    assert [(r.levelno, r.message) for r in caplog.records] == [
        (logging.WARNING, f"The cache is stale: {LINE}")
    ]


async def test_it_says_once_that_it_can_not_audit_and_never_raises(
    watch: AuditWatch, auditor: ToldAuditor, caplog: pytest.LogCaptureFixture
) -> None:
    nothing = auditor.finds
    for finds in (
        TransientError("Redis is away."),
        TransientError("Redis is away."),
        nothing,
        ValueError("a row"),
    ):
        auditor.finds = finds
        await watch.audit()
    assert [r.message for r in caplog.records] == [
        "The cache is not audited for now: Redis is away.",
        "The cache is not audited for now: ValueError",
    ]
