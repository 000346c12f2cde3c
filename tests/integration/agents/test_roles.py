"""A worker of one role, in a process of its own."""

import subprocess
import sys

import pytest

pytestmark = pytest.mark.integration


def test_a_role_imports_its_own_parts_alone() -> None:
    code = (
        "import sys; from app.worker.worker import Worker; from app.config.settings import Role, Settings;"
        "Worker(Settings(roles=[Role.ENTITIES_EDGES]));"
        "print(sorted(m for m in sys.modules if m.split('.')[0] in ('cdc', 'web') or m == 'agents.temporal_data'))"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "[]"
