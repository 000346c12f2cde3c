"""How the servers that tests share differ from those of a demo."""

from typing import Any, Final

# What Flink writes is read when a checkpoint commits it, so tests wait for checkpoints. PostgreSQL keeps the
# defaults: `python -m app doctor` finds a server without fsync.
FOR_TESTS: Final[dict[str, Any]] = {"flink_checkpoint_ms": 2_000}
