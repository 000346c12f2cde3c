"""The servers' configuration files."""

from pathlib import Path

import pytest
import yaml

from infra.services.flink import FlinkService
from infra.services.redis_cluster import RedisService
from infra.settings import InfraSettings
from infra.templates import render

TEMPLATES = Path(render.__code__.co_filename).parent


def test_a_placeholder_without_a_value_is_an_error() -> None:
    with pytest.raises(KeyError, match="controller_port"):
        render("kafka.properties", port=1, data="x")


def test_kafka_keeps_records_of_any_date_and_makes_no_topic_by_itself() -> None:
    text = render("kafka.properties", port=29_092, controller_port=29_093, data="/d")
    properties = dict(line.split("=", 1) for line in text.splitlines() if "=" in line and line[0] != "#")
    assert properties["log.retention.ms"] == "-1"
    assert properties["auto.create.topics.enable"] == "false"
    assert properties["listeners"] == "PLAINTEXT://127.0.0.1:29092,CONTROLLER://127.0.0.1:29093"
    assert int(properties["message.max.bytes"]) >= 10 * 2**20


@pytest.mark.parametrize(
    "name", [path.name for path in TEMPLATES.iterdir() if path.is_file() and path.suffix != ".py"]
)
def test_nothing_listens_beyond_loopback(name: str) -> None:
    assert "0.0.0.0" not in (TEMPLATES / name).read_text()


def test_each_redis_node_has_a_bus_port_of_its_own(tmp_path: Path) -> None:
    settings = InfraSettings(data_root=tmp_path, port_offset=20_000)
    RedisService(settings).configure()
    text = (settings.data_dir / "redis" / "node-27002" / "redis.conf").read_text()
    assert "port 27002\n" in text
    assert "cluster-port 27102\n" in text
    assert "bind 127.0.0.1\n" in text


def test_task_managers_that_are_no_longer_wanted_end_with_the_others(tmp_path: Path) -> None:
    settings = InfraSettings(data_root=tmp_path)
    service = FlinkService(settings)
    assert [each.name for each in service.processes()] == ["jobmanager", "taskmanager"]
    service.conf_dir.mkdir(parents=True)
    (service.directory / "taskmanager-3.pid").write_text("{}")  # of one that has ended
    more = FlinkService(settings.model_copy(update={"flink_task_managers": 2}))
    assert [each.name for each in more.processes()] == ["jobmanager", "taskmanager", "taskmanager-2"]
    second = more.processes()[-1]
    second.start(["sleep", "60"])
    try:
        assert [each.name for each in service.processes()][-1] == "taskmanager-2"
    finally:
        assert service.stop()
    assert second.pid() is None
    assert [each.name for each in service.processes()] == ["jobmanager", "taskmanager"]


def test_flink_gets_yaml_with_the_ports_and_without_a_bind_port() -> None:
    text = render(
        "flink.yaml",
        rpc_port=26_123,
        port=28_081,
        directory="/d",
        jobmanager_heap_mb=256,
        task_heap_mb=320,
        checkpoint_ms=2_500,
        slots=8,
        rocksdb_memory_mb=96,
    )
    config = yaml.safe_load(text)
    assert config["rest"] == {"address": "127.0.0.1", "bind-address": "127.0.0.1", "port": 28_081}
    # Nobody uploads a jar, and no page of another origin reads answers.
    assert config["web"] == {
        "access-control-allow-origin": "http://127.0.0.1:28081",
        "submit": {"enable": "false"},
    }
    assert config["jobmanager"]["rpc"]["port"] == 26_123
    assert config["taskmanager"]["numberOfTaskSlots"] == 8
    assert config["state"]["backend"]["rocksdb"]["memory"]["fixed-per-tm"] == "96m"
    assert config["execution"]["checkpointing"]["interval"] == "2500ms"
    assert "java.util.concurrent.atomic" in config["env"]["java"]["opts"]["all"]
    assert [process.name for process in FlinkService(InfraSettings()).processes()] == [
        "jobmanager",
        "taskmanager",
    ]
