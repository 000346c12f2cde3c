"""The obligations of the eight rules; each can be taken away."""

from dataclasses import dataclass, fields, replace
from typing import Final, Self


@dataclass(frozen=True, slots=True, kw_only=True)
class Rules:
    """Which obligations are kept. A field's name begins with the number of its rule in the design."""

    r1_write_position_after_commit: bool = True
    """The position of a write is read after its commit returned."""
    r1_replica_position_before_data: bool = True
    """The position of a read on a replica is read before the data."""
    r1_replica_position_forgotten: bool = True
    """It is forgotten when the replica has crashed, since it can come back at an older one."""
    r1_primary_claims_visible: bool = True
    """A read on the primary claims what lies before every commit that is not visible yet, not its flush position."""

    r2_group_mark: bool = True
    """The position that a fill has to reach is the high-water mark of the key's group."""
    r2_mark_is_highest: bool = True
    """The mark never falls, although positions arrive out of order."""

    r3_drop_entry: bool = True
    """A commit drops the entry in Redis."""
    r3_replace_lease: bool = True
    """It takes the lease away, so that the fill under way stores nothing and the next miss plants another."""
    r3_raise_mark: bool = True
    """It raises the group's mark."""
    r3_missing_mark_stays: bool = True
    """A mark that is not there is not created."""
    r3_leased_mark_stays: bool = True
    """A leased mark collects the position and stays incomplete."""
    r3_publish: bool = True
    """All workers are told."""
    r3_own_memory_last: bool = True
    """The writer's own process, which hears nothing of itself, empties its memory once more when Redis was told."""

    r4_mark_from_primary: bool = True
    """A missing mark becomes the primary's flush position, not zero."""
    r4_own_mark_lease: bool = True
    """It is set over one's own lease only."""
    r4_collected_fences: bool = True
    """The positions that arrived meanwhile count."""

    r5_reach_fence: bool = True
    """A replica is read only when it has reached the group's mark."""
    r5_reach_token: bool = True
    """A replica is read only when it has reached the reader's token."""
    r5_own_lease: bool = True
    """A fill stores over its own lease only."""
    r5_token_is_no_fence: bool = True
    """While the primary is away and no mark is known, to have reached a token verifies nothing."""
    r5_unverified_not_stored: bool = True
    """What is not known to have reached the position is answered as such, and stored nowhere."""
    r5_early_read_reaches_mark: bool = True
    """What was read before it had a lease counts only if it reached the mark as it is after the lease."""

    r6_overtaken_not_stored: bool = True
    """A fill that a notification has overtaken is not stored in the process."""
    r6_channel_overtakes: bool = True
    """The loss and the return of the channel overtake every fill."""
    r6_no_join: bool = True
    """No later request joins an overtaken fill, and none joins while the channel is down."""
    r6_gap_is_loss: bool = True
    """Messages that did not arrive are noticed."""
    r6_bypass: bool = True
    """While the channel is down the level in the process is empty and bypassed."""

    r7_repeat: bool = True
    """CDC repeats every invalidation."""
    r7_wait_until_visible: bool = True
    """It waits until the transaction is visible on the primary."""
    r7_flush_position: bool = True
    """Its position is the primary's flush position at that time, not the change's own."""

    r8_read_token: bool = True
    """A read gives a token, and the session sends it back."""
    r8_token_after_data: bool = True
    """A read's token is a position read after the data."""
    r8_primary_shows_token: bool = True
    """The primary answers a token that a replica has shown only when it shows every commit up to there."""
    r8_entry_reaches_token: bool = True
    """A read with a token takes only entries that have reached it."""

    def without(self, *names: str) -> Self:
        return replace(self, **dict.fromkeys(names, False))


ALL: Final = Rules()
OBLIGATIONS: Final = tuple(field.name for field in fields(Rules))
NUMBERS: Final = range(1, 9)


def of_rule(number: int) -> tuple[str, ...]:
    """The obligations of one rule of the design."""
    return tuple(name for name in OBLIGATIONS if name.startswith(f"r{number}_"))
