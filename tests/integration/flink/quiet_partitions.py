"""Payments of some users in three months, accounts that name every second user, and the sums that they come to."""

import json
from collections import defaultdict
from typing import Final

from tests.integration.flink.conftest import Source
from tests.integration.flink.test_jobs import AT, payment

PARTITIONS: Final = 4
USERS: Final = 30
PAYMENTS: Final = 900
BEFORE: Final = 60  # of them come before the quiet spell
QUIET_S: Final = 8.0  # longer than idle timeouts of sources are, and than some checkpoints
Sums = dict[tuple[str, str], tuple[int, int]]  # (count, cents) by user and month


def payment_of(number: int) -> Source:
    """Of three months in no order; each second user is named by the account."""
    user = number % USERS
    month = 1 + (number * 7) % 3
    key, value, at = payment(f"pt-{number}", f"u-pt-{user}", number + 1, f"1997-{month:02d}-15T10:00:00Z")
    if user % 2:
        body = json.loads(value or b"")
        del body["customer_id"]
        value = json.dumps(body | {"account_id": f"acc-pt-{user}"}).encode()
    return key, value, at


def account_of(user: int) -> Source:
    body = {
        "meta": {"eventId": f"pt-{user}", "kind": "account.opened", "occurredAt": AT},
        "account": {"accountId": f"acc-pt-{user}", "status": "ACTIVE"},
        "owner": {"customerId": f"u-pt-{user}"},
    }
    return b"", json.dumps(body).encode(), AT


def expected() -> Sums:
    """What all payments come to."""
    sums: Sums = defaultdict(lambda: (0, 0))
    for number in range(PAYMENTS):
        key = f"u-pt-{number % USERS}", f"1997-{1 + (number * 7) % 3:02d}"
        sums[key] = sums[key][0] + 1, sums[key][1] + number + 1
    return dict(sums)
