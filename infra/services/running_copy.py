"""A replica's data directory, made of a running primary's on the same machine: pg_basebackup for who has none.

PostgreSQL's low-level backup: between its start and its stop the files may be copied as they are.
"""

import shlex
import shutil
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Final

from infra.service import run

# Of the primary's process, and of its own replicas.
_LEFT_OUT: Final = ("postmaster.pid", "postmaster.opts", "pg_replslot")


def copy_running(
    psql: Sequence[str],
    environment: Mapping[str, str],
    dsn: str,
    *,
    source: Path,
    target: Path,
    slot: str,
    user: str | None,
) -> None:
    """Copy `source`, the directory of the primary at `dsn`, to `target`, which will stream through `slot`.

    `psql` is the command that reaches the primary; the password is in `environment`.
    """
    target.mkdir(mode=0o700)
    if user is not None:
        shutil.chown(target, user, user)
    # A file that vanishes meanwhile is in the WAL; cp's exit code is not looked at.
    statements = [
        "SELECT pg_backup_start(:'name', true);",
        f"\\! cp -a {shlex.quote(str(source))}/. {shlex.quote(str(target))} 2>/dev/null",
        f"\\o {shlex.quote(str(target / 'backup_label'))}",
        "SELECT labelfile FROM pg_backup_stop(false);",
    ]
    run(
        [*psql, "-XqAt", "-v", "ON_ERROR_STOP=1", "-v", f"name={slot}", "-f", "-"],
        purpose=f"Copying the primary to {slot}",
        stdin="\n".join(statements) + "\n",
        environment=environment,
    )
    for name in _LEFT_OUT:
        path = target / name
        if path.is_dir():
            shutil.rmtree(path)
            path.mkdir(mode=0o700)
        else:
            path.unlink(missing_ok=True)
    with (target / "postgresql.auto.conf").open("a") as settings:
        settings.write(f"primary_conninfo = '{dsn}'\nprimary_slot_name = '{slot}'\n")
    (target / "standby.signal").touch()
    if user is not None:
        for name in ("backup_label", "standby.signal", "pg_replslot"):
            shutil.chown(target / name, user, user)
