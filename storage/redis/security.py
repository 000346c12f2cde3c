"""How this process connects to the nodes of Redis: TLS, and the user that it is."""

import ssl
from dataclasses import dataclass
from typing import Final, Self

from app.config.settings import Settings
from app.core.network import tls_context
from storage.redis.connection import Command


@dataclass(frozen=True, slots=True, kw_only=True)
class RedisSecurity:
    """`tls` None: as it is. `auth` is the first command on each connection, if any."""

    tls: ssl.SSLContext | None = None
    auth: Command | None = None

    @classmethod
    def of(cls, settings: Settings) -> Self:
        """As the settings say. Raises FatalError where a file can't be used."""
        tls = None
        if settings.redis_tls:
            tls = tls_context(
                "Redis",
                settings.redis_ca_file,
                settings.redis_client_cert_file,
                settings.redis_client_key_file,
            )
        password = settings.redis_password
        if password is None:
            return cls(tls=tls)
        secret = password.get_secret_value()
        user = settings.redis_username
        return cls(tls=tls, auth=("AUTH", secret) if user is None else ("AUTH", user, secret))

    def __repr__(self) -> str:
        return f"RedisSecurity(tls={self.tls is not None}, auth={self.auth is not None})"


NONE: Final = RedisSecurity()
