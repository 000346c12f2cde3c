"""How change data capture is doing: the slot, the connector, and what is wrong with them in one sentence."""

from dataclasses import dataclass
from datetime import datetime
from typing import Final

from app.core.clock import Clock
from app.core.dates import from_epoch_ms
from app.ports.capture import ConnectorAdmin, ConnectorPosition, ConnectorState, ReplicationSlots, SlotState
from cdc.connector.config import RECOVERY_KEY

RECOVER: Final = "`python -m app connector recover` makes good what was missed"


@dataclass(frozen=True, slots=True, kw_only=True)
class ConnectorReport:
    """One look at both sides. `position` was read after `slot`, so it is never behind it while all is well."""

    name: str
    slot_name: str
    slot: SlotState | None
    connector: ConnectorState | None
    position: ConnectorPosition | None
    now: datetime
    recovering: bool = False  # a recovery was begun and is not finished

    @property
    def published_at(self) -> datetime | None:
        """When the newest change or heartbeat was committed that is durably published."""
        told = self.position.committed_us if self.position is not None else None
        return None if told is None else from_epoch_ms(told // 1000)

    @property
    def lag_s(self) -> float | None:
        """Its age. A heartbeat is due every few seconds and positions are stored every 5 s."""
        at = self.published_at
        return None if at is None else max(0.0, (self.now - at).total_seconds())

    @property
    def slot_fault(self) -> str | None:
        """Why changes were or will be missed; None while none is."""
        slot, since = self.slot, f" since {self.published_at:%Y-%m-%dT%H:%M:%SZ}" if self.published_at else ""
        fault: str | None = None
        if self.recovering:
            fault = "A recovery is not finished: let it end, or repeat `python -m app connector recover`."
        elif slot is None and self.position is not None:
            fault = f"The slot {self.slot_name} is gone: changes{since} may be missed; {RECOVER}."
        elif slot is None:
            fault = None if self.connector is None else f"The slot {self.slot_name} is not made yet."
        elif slot.lost:
            fault = (
                f"The slot {self.slot_name} is lost, since it kept more WAL than max_slot_wal_keep_size: "
                f"changes{since} are missed; {RECOVER}."
            )
        elif self.made_anew:
            fault = f"The slot {self.slot_name} was made anew: changes{since} may be missed; {RECOVER}."
        elif slot.wal_status == "unreserved":
            fault = (
                f"The slot {self.slot_name} is about to be lost (wal_status unreserved): resume the connector now "
                "or raise max_slot_wal_keep_size."
            )
        return fault

    @property
    def made_anew(self) -> bool:
        """Whether the slot begins after what was published, so that it can't have been there all the time.

        What the connector confirms is the last commit that it has stored, so that is what is compared: the rows of a
        transaction that was open for long lie before commits that were published and confirmed earlier.
        """
        confirmed = self.slot.confirmed if self.slot is not None else None
        return self.position is not None and confirmed is not None and confirmed > self.position.reached

    @property
    def missing_changes(self) -> bool:
        """Whether a restart can't help, since changes are missing that only a recovery brings."""
        gone = self.slot is None and self.position is not None
        return self.recovering or gone or self.made_anew or (self.slot is not None and self.slot.lost)

    def connector_fault(self, *, max_lag_s: float) -> str | None:
        """Why nothing is published; None while it is."""
        state = self.connector
        if state is None:
            return f"There is no connector {self.name}: `python -m app connector apply` makes it."
        if state.failed:
            way = RECOVER if self.missing_changes else "`python -m app connector restart` starts it again"
            return f"The connector {self.name} failed ({state.cause or 'without a reason'}); {way}."
        if not state.running:
            way = RECOVER if self.missing_changes else "`python -m app connector resume` goes on"
            return f"The connector {self.name} is {state.summary}; {way}."
        if self.lag_s is not None and self.lag_s > max_lag_s:
            return f"The connector {self.name} runs {self.lag_s:.0f} s behind."
        return None


async def look(
    *, name: str, slot_name: str, slots: ReplicationSlots, connect: ConnectorAdmin, clock: Clock
) -> ConnectorReport:
    """Ask both. Raises TransientError or FatalError where one of them does not answer."""
    slot = await slots.state(slot_name)
    connector = await connect.state(name)
    position = await connect.position(name) if connector is not None else None
    config = await connect.config(name) if connector is not None else None
    return ConnectorReport(
        name=name,
        slot_name=slot_name,
        slot=slot,
        connector=connector,
        position=position,
        now=clock.now(),
        recovering=config is not None and RECOVERY_KEY in config,
    )
