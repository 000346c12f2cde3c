from storage.probes import full_nodes


def info(used: int, most: int, policy: str) -> list[object]:
    text = f"# Memory\r\nused_memory:{used}\r\nmaxmemory:{most}\r\nmaxmemory_policy:{policy}\r\n"
    return [text.encode()]


def test_a_node_is_full_where_nothing_is_evicted() -> None:
    told = {
        "a:1": info(100, 100, "noeviction"),
        "b:1": info(100, 100, "volatile-lfu"),
        "c:1": info(99, 100, "noeviction"),
        "d:1": info(100, 0, "noeviction"),  # no limit
    }
    assert full_nodes(told) == ["a:1 uses 100 of 100 bytes"]
