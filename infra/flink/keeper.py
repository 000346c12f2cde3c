"""Keeps the jobs on the session cluster, which forgets them when it restarts.

What is missing is submitted again from its newest checkpoint. Jobs that run are left as they are, whatever their SQL:
upgrading them is `deploy`'s task, and an operator's decision.
"""

import logging
import time
from collections.abc import Callable
from pathlib import Path
from typing import Final, NoReturn

from infra.errors import InfraError
from infra.flink.jobs import missing, submit
from infra.settings import InfraSettings

logger = logging.getLogger(__name__)

LOOK_S: Final = 10.0
_LONGEST_PAUSE_S: Final = 120.0


def keep(
    settings: InfraSettings,
    *,
    topic_prefix: str,
    mark: Path,
    sleep: Callable[[float], None] = time.sleep,
) -> NoReturn:
    """Look every LOOK_S seconds, after failures less often. `mark` is there while all jobs run, for a probe."""
    pause = LOOK_S
    while True:
        try:
            if absent := missing(settings, topic_prefix=topic_prefix):
                mark.unlink(missing_ok=True)
                logger.info("Not on the cluster: %s", ", ".join(absent))
                submit(settings, topic_prefix=topic_prefix)
            mark.touch()
            pause = LOOK_S
        except InfraError as error:
            mark.unlink(missing_ok=True)
            logger.warning("The jobs can't be kept now, another attempt in %.0f s: %s", pause, error)
            sleep(pause)
            pause = min(_LONGEST_PAUSE_S, 2 * pause)
        else:
            sleep(LOOK_S)
