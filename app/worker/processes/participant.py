"""What one process of several tells the others of its worker, and asks them."""

from collections.abc import Callable, Sequence

import msgspec

from app.observability.readiness import states_of
from app.ports.health import DependencyState, Probe
from app.worker.processes.channel import ALIVE, METRICS, READY, StatusServer, socket_of
from app.worker.processes.member import Member
from app.worker.processes.pages import ANSWER_LIMIT_S, MergedMetrics, SiblingProbe
from app.worker.processes.supervisor import RUNNING, STARTING, SUPERVISOR


class Participant:
    """Answers from `start` until `close`; `is_running` is set when the process is ready to work."""

    def __init__(
        self,
        member: Member,
        *,
        metrics: Callable[[], tuple[bytes, str]],
        watches: Callable[[], Sequence[Probe]],
    ) -> None:
        """`watches` are the probes that this process adds to /readyz; servers are asked by who answers it."""
        self._member = member
        self._metrics = metrics
        self._watches = watches
        self._server = StatusServer(
            socket_of(member.place, member.name),
            {ALIVE: self._alive, METRICS: self._page, READY: self._states},
        )
        self._all_metrics = MergedMetrics(metrics, member.place, member.siblings)
        self.is_running = False

    async def start(self) -> None:
        await self._server.start()

    async def close(self) -> None:
        await self._server.close()

    async def metrics_of_all(self) -> tuple[bytes, str]:
        """The page of this process and of the others, and its content type."""
        return await self._all_metrics.page()

    def siblings(self) -> list[Probe]:
        """What the other processes tell, for /readyz."""
        names = (name for name in self._member.siblings if name != SUPERVISOR)
        return [SiblingProbe(self._member.place, name) for name in names]

    async def _alive(self) -> bytes:
        return RUNNING if self.is_running else STARTING

    async def _page(self) -> bytes:
        return self._metrics()[0]

    async def _states(self) -> bytes:
        if not self.is_running:
            starting = DependencyState(name="start", ready=False, required=True, detail="is starting")
            return msgspec.json.encode([starting])
        return msgspec.json.encode(await states_of(self._watches(), limit_s=ANSWER_LIMIT_S))
