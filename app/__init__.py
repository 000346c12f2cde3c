"""The Faust application: core types, ports, Kafka clients, the loop that feeds agents, commands, and the worker.

`app.app` is the Faust app, for `faust -A app worker -l info`; it is built when it is asked for, so that
`python -m app migrate` builds no worker.
"""

from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    app: Any


def __getattr__(name: str) -> Any:
    if name != "app":
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    import sys  # noqa: PLC0415 — only for whoever asks for the app
    from pathlib import Path  # noqa: PLC0415

    # The faust command has the project's root on the path only while it imports this package.
    root = str(Path(__file__).parent.parent)
    if root not in sys.path:
        sys.path.insert(0, root)

    from pydantic import ValidationError  # noqa: PLC0415

    from app.config.settings import problems_of  # noqa: PLC0415
    from app.core.errors import FatalError  # noqa: PLC0415
    from app.worker.command import create  # noqa: PLC0415

    try:
        globals()["app"] = created = create()
    except ValidationError as error:
        # A wrong setting is a line for whoever started the worker, not a trace.
        for problem in problems_of(error):
            sys.stderr.write(f"error: {problem}\n")
        sys.exit(78)
    except FatalError as error:
        sys.stderr.write(f"error: {error}\n")
        sys.exit(78)
    return created
