"""What the page's tests look at."""

from typing import Any


def entity(kind: str, reference: str, **properties: object) -> dict[str, Any]:
    return {"type": kind, "reference": reference, "properties": properties}


def relation(source: str, kind: str, target: str) -> dict[str, str]:
    """Between `type:reference` and `type:reference`."""
    source_type, _, source_reference = source.partition(":")
    target_type, _, target_reference = target.partition(":")
    return {
        "source_type": source_type,
        "source_reference": source_reference,
        "relationship_type": kind,
        "target_type": target_type,
        "target_reference": target_reference,
    }


PROFILE = {
    "entities": [
        entity("user", "u-ana", name="Ana Prado", email="ana@email.com", balance=10.50, tags=["gold", "new"]),
        entity("organization", "o-sul", name="Sul Ltda"),
        entity("user", "u-bia", name="Bia Reis", city="Recife"),
        entity("device", "d-1", name="Phone"),
        entity("segment", "s-1", name="Loyal"),
        entity("user", "u-twin-1", name="Twin One", city="Natal"),
        entity("user", "u-twin-2", name="Twin Two", city="Natal"),
    ],
    "relationships": [
        relation("user:u-ana", "member_of", "organization:o-sul"),
        relation("organization:o-sul", "employs", "user:u-bia"),
        relation("user:u-bia", "uses", "device:d-1"),
        relation("user:u-bia", "friend_of", "user:u-ana"),
        relation("device:d-1", "seen_in", "segment:s-1"),
    ],
}

SERIES = {
    "data_points": [
        {
            "entity_reference": "u-ana",
            "entity_type": "user",
            "key": "payments",
            "granularity": granularity,
            "reference_date": f"2025-0{number}-01T12:00:00Z",
            "value": {"amount": amount, "orders": number},
        }
        for granularity, amount in (("month", 2450.00), ("day", 7))
        for number in range(1, 7)
    ]
}

BRANCHES, LEAVES = 40, 49  # 2,001 nodes with the root


def wide_tree() -> dict[str, Any]:
    """A root with branches and leaves: 2,001 nodes."""
    kinds = ("user", "device", "segment", "account")
    branches = range(BRANCHES)
    leaves = [
        (branch, kinds[leaf % 4], f"leaf-{branch}-{leaf}") for branch in branches for leaf in range(LEAVES)
    ]
    return {
        "entities": [entity("organization", "o-wide", name="Wide")],
        "relationships": [
            *(relation("organization:o-wide", "has", f"organization:branch-{branch}") for branch in branches),
            *(
                relation(f"organization:branch-{branch}", "employs", f"{kind}:{name}")
                for branch, kind, name in leaves
            ),
        ],
    }
