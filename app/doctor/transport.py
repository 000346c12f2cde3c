"""Connections to other machines that anybody between can read."""

import os
from collections.abc import Iterator
from typing import Final
from urllib.parse import parse_qs, urlsplit

from app.config.settings import Role, Settings
from app.core.check_results import Finding, Level, judged
from app.core.network import is_loopback

# Of sslmode: these always encrypt. `prefer`, the default, goes on in the clear where the server has no TLS.
_ENCRYPTED: Final = frozenset({"require", "verify-ca", "verify-full"})


def transport_findings(settings: Settings) -> list[Finding]:
    """Of the settings alone; asks nobody. A line for each server that other machines are."""
    return [
        judged(
            f"transport.{name}",
            well=encrypted,
            what=f"{'is encrypted' if encrypted else 'may be in the clear'} to {', '.join(hosts)}",
            mend=f"{mend} (docs/security.md, To the servers): passwords and profiles go over the network",
            level=Level.WARN,
        )
        for name, hosts, encrypted, mend in _connections(settings)
        if hosts
    ]


def leaves_this_machine(settings: Settings) -> bool:
    """Whether anything is beyond loopback: the web server's clients, or a server."""
    if Role.WEB in settings.roles and not is_loopback(settings.web_host):
        return True
    return any(hosts for _, hosts, _, _ in _connections(settings))


def _connections(settings: Settings) -> Iterator[tuple[str, list[str], bool, str]]:
    """Name, hosts beyond loopback, whether they are always encrypted, and how to encrypt."""
    mode = "add `?sslmode=verify-full&sslrootcert=…` to {}"
    dsn = settings.postgres_dsn.get_secret_value()
    yield "postgres", _of_dsn(dsn), _encrypts(dsn), mode.format("PROFILE_POSTGRES_DSN")
    for name, own in (("read", settings.postgres_read_dsn), ("write", settings.postgres_write_dsn)):
        if own is not None:
            dsn = own.get_secret_value()
            yield (
                f"postgres-{name}",
                _of_dsn(dsn),
                _encrypts(dsn),
                mode.format(f"PROFILE_POSTGRES_{name.upper()}_DSN"),
            )
    for number, secret in enumerate(settings.postgres_replica_dsns, start=1):
        dsn = secret.get_secret_value()
        mend = mode.format("each of PROFILE_POSTGRES_REPLICA_DSNS")
        yield f"replica-{number}", _of_dsn(dsn), _encrypts(dsn), mend
    if settings.redis_nodes:
        nodes = _remote(node.rpartition(":")[0] for node in settings.redis_nodes)
        yield "redis", nodes, settings.redis_tls, "set PROFILE_REDIS_TLS=true"
    yield (
        "kafka",
        _remote(broker.rpartition(":")[0] for broker in settings.kafka_brokers),
        settings.kafka_security_protocol in {"SSL", "SASL_SSL"},
        "set PROFILE_KAFKA_SECURITY_PROTOCOL=SASL_SSL",
    )
    if Role.CDC not in settings.roles:
        return
    url = urlsplit(settings.connect_url)
    yield "connect", _remote([url.hostname or ""]), url.scheme == "https", "set PROFILE_CONNECT_URL=https://…"
    if settings.connect_postgres_dsn is not None:
        dsn = settings.connect_postgres_dsn.get_secret_value()
        yield "debezium", _of_dsn(dsn), _encrypts(dsn), mode.format("PROFILE_CONNECT_POSTGRES_DSN")


def _of_dsn(dsn: str) -> list[str]:
    """The hosts of a libpq URI that are not this machine; a path is a socket of this one."""
    parts = urlsplit(dsn)
    named = parts.netloc.rpartition("@")[2].split(",")
    hosts = [_without_port(each) for each in named if each]
    hosts += [host for told in parse_qs(parts.query).get("host", ()) for host in told.split(",")]
    return _remote(host for host in hosts if host and not host.startswith(("/", "%2F", "%2f")))


def _without_port(address: str) -> str:
    if address.startswith("["):
        return address[1:].partition("]")[0]
    return address.partition(":")[0]


def _encrypts(dsn: str) -> bool:
    told = parse_qs(urlsplit(dsn).query).get("sslmode") or [os.environ.get("PGSSLMODE", "prefer")]
    return told[-1] in _ENCRYPTED


def _remote(hosts: "Iterator[str] | list[str]") -> list[str]:
    return [host for each in hosts if not is_loopback(host := each.strip("[]")) and host]
