"""The services of the stack: one module each, all with the interface of `infra.service.Service`."""

from infra.errors import InfraError
from infra.service import Service
from infra.services.connect import ConnectService
from infra.services.flink import FlinkService
from infra.services.kafka import KafkaService
from infra.services.postgres import PostgresService
from infra.services.redis_cluster import RedisService
from infra.settings import InfraSettings

SERVICES: dict[str, type[Service]] = {
    service.name: service
    for service in (PostgresService, RedisService, KafkaService, ConnectService, FlinkService)
}


def select(settings: InfraSettings, names: list[str], *, with_required: bool = True) -> list[Service]:
    """The named services (all if none is named) and what they require, in the order of starting."""
    for name in names:
        if name not in SERVICES:
            raise InfraError(f"There is no service {name!r}: choose from {', '.join(SERVICES)}.")
    wanted = set(names or SERVICES)
    if with_required:
        wanted |= {required for name in wanted for required in SERVICES[name].requires}
    return [SERVICES[name](settings) for name in SERVICES if name in wanted]
