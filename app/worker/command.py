"""What `faust -A app worker` runs: a worker in this process, or one that starts several."""

import asyncio

from app.config.processes import processes_of
from app.config.settings import Settings
from app.worker.faust_app import ProfileApp
from app.worker.processes.member import Member


def create() -> ProfileApp:
    """The Faust app of the environment's settings. Raises ValidationError or FatalError for wrong ones."""
    import uvloop  # noqa: PLC0415 — chosen for the process that runs a worker alone

    asyncio.set_event_loop_policy(uvloop.EventLoopPolicy())
    settings, member = Settings(), Member.of_environment()
    if member is not None:
        member.watch_lifeline()
    elif processes := processes_of(settings):
        from app.worker.processes.supervised import supervising  # noqa: PLC0415 — see below

        return supervising(settings, processes)
    from app.worker.worker import Worker  # noqa: PLC0415 — a process that supervises needs no stores

    return Worker(settings, member=member).app
