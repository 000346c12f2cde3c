"""`python -m app merge-placeholders`: merge placeholders of type `unknown` into the typed entities of their references.

Workers do it all the while (PROFILE_PLACEHOLDER_INTERVAL_S); this is for whoever won't wait.
"""

import argparse
import asyncio

from app.commands.command_stores import open_stores
from app.config.settings import Settings
from app.core.errors import TransientError


def add_to(commands: "argparse._SubParsersAction[argparse.ArgumentParser]") -> None:
    """Add `merge-placeholders`; it sets `run`."""
    commands.add_parser(
        "merge-placeholders", help="merge placeholders into the typed entities of their references"
    ).set_defaults(run=_run)


def _run(_: argparse.Namespace) -> int:
    print(f"{asyncio.run(_merge())} placeholders merged.")
    return 0


async def _merge() -> int:
    async with open_stores(Settings()) as stores:
        total = 0
        while merged := await stores.placeholders.merge():
            total += merged
        if merged is None:
            raise TransientError("Another process merges placeholders now; run it again if some are left.")
        return total
