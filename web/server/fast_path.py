"""The way of a read that this process can answer from its memory: past aiohttp's requests, tasks and router.

aiohttp's parser reads the request, so what is well-formed HTTP is decided in one place; all else that aiohttp does for
a request takes several times as long as the answer, which is known at once and waits for nothing. What is unusual in
any way takes the usual way, where everything else is decided: errors, conditions, tokens, other methods, and keys that
web.auth.gate does not know at once.
"""

import re
from typing import Final
from urllib.parse import unquote

from aiohttp import HttpVersion11
from aiohttp.http_parser import RawRequestMessage
from multidict import CIMultiDictProxy, istr

from app.core.api_keys import Scope
from app.core.errors import InvalidError
from app.core.models import EntityKey
from app.observability import tracing
from app.ports.graph import Answer
from web.auth.api_key_cache import Grant
from web.auth.gate import Gate
from web.held_answers import PIECE_BYTES
from web.http import parameters, tree_query
from web.http.access_log import Accesses, request_id_of
from web.http.costs import UNIT_BYTES
from web.http.raw_response import DATE
from web.http.responses import ACCEPT_ENCODING, GZIP_FROM_BYTES, accepts_gzip, age, lines_of
from web.problems import ProblemError
from web.route_table import ROUTE_BY_ID
from web.services import WebServices

BY_ID: Final = ROUTE_BY_ID["getEntity"].path
BY_REFERENCE: Final = ROUTE_BY_ID["getEntityByReference"].path
BY_PROPERTY: Final = ROUTE_BY_ID["findEntitiesByProperty"].path

_BEGINS_BY_REFERENCE: Final = "/v1/graph/by-reference/"
_UNUSUAL: Final = tuple(
    map(istr, ("Expect", "If-None-Match", "Consistency-Token", "Transfer-Encoding", "Content-Length"))
)
_PATH_BY_ID: Final = re.compile(r"/v1/graph/([1-9][0-9]{0,17})")
# Bytes that mean themselves, and encoded ones of ASCII but for the slash and the percent sign.
_PLAIN: Final = r"[A-Za-z0-9._~@:+!$'()*,;=&-]"
_SEGMENT: Final = rf"((?:{_PLAIN}|%(?:2[0-46-9A-E]|[3-6][0-9A-F]|7[0-9A-E]))+)"
_PATH_BY_REFERENCE: Final = re.compile(rf"/v1/graph/by-reference/{_SEGMENT}/{_SEGMENT}")
_PATH_BY_PROPERTY: Final = re.compile(rf"/v1/graph/by-property/{_SEGMENT}/value/{_SEGMENT}")
_PLAIN_PATH_BY_PROPERTY: Final = re.compile(rf"/v1/graph/by-property/({_PLAIN}+)/value/({_PLAIN}+)")


class Express:
    """Answers what it can."""

    def __init__(self, services: WebServices, gate: Gate, *, of_which_one: int = 1_000) -> None:
        """Of so many reads with a key one has a line in the log."""
        self._gate = gate
        self._of_which_one = of_which_one
        self._uncounted = 0
        self._reader = services.reader
        self._tokens = services.tokens
        self._clock = services.clock
        # Where traces are made, who brings one finds this request in it.
        self._unusual = (*_UNUSUAL, istr(tracing.TRACEPARENT)) if tracing.is_on() else _UNUSUAL
        self._accesses = Accesses(services.observe_express or services.observe)

    def answer(self, message: RawRequestMessage) -> bytes | None:
        """The whole response to a request without a body; None where it has to take the usual way."""
        headers = message.headers
        if message.method != "GET" or message.should_close or message.version != HttpVersion11:
            return None
        for name in self._unusual:
            if name in headers:
                return None
        gate = self._gate
        if not gate.closed and not gate.origins.knows(headers):
            return None
        return self.answer_again(message.path, headers)

    def answer_again(self, target: str, headers: CIMultiDictProxy[str]) -> bytes | None:
        """As `answer`, for another target with headers that it has found to be usual.

        A closed gate looks at the key of each of them again.
        """
        if not self._gate.closed:
            return self._answer(target, headers, None)
        grant = self._gate.recall(headers, Scope.READ)
        return None if grant is None else self._answer(target, headers, grant)

    def _answer(self, target: str, headers: CIMultiDictProxy[str], grant: Grant | None) -> bytes | None:
        started = self._clock.monotonic()
        path, _, query = target.partition("?")
        asked = tree_query.recognised(query)
        if asked is None:
            return None
        route, answer = self._recalled(path, asked)
        if answer is None or answer.body is None or answer.next_after is not None:
            return None
        body, encoding = answer.body, ""
        if len(body) > PIECE_BYTES:  # the usual way writes it in pieces
            return None
        lines = lines_of(answer, self._tokens)
        if len(body) >= GZIP_FROM_BYTES:
            accept_encoding = headers.get(ACCEPT_ENCODING)
            if accept_encoding is not None and accepts_gzip(accept_encoding):
                if lines.gzip is None:
                    return None
                body, encoding = lines.gzip, "Content-Encoding: gzip\r\n"
        if grant is not None and grant.take(started) > 0:
            return None
        request_id = request_id_of(headers)
        head = (
            f"HTTP/1.1 200 OK\r\n{lines.text}{age(answer, self._clock)}{encoding}X-Request-Id: {request_id}\r\n"
            f"Content-Length: {len(body)}\r\nDate: {DATE.now()}\r\n\r\n"
        ).encode("latin-1")
        ended, key_id = self._clock.monotonic(), None
        if grant is not None:
            cost = len(body) // UNIT_BYTES
            if cost:
                grant.charge(cost, ended)
            self._uncounted += 1
            if self._uncounted >= self._of_which_one:  # a line takes as long as the answer
                self._uncounted, key_id = 0, grant.key.id
        self._accesses.note(
            "GET",
            route,
            200,
            elapsed_s=ended - started,
            cache=answer.cache,
            request_id=request_id,
            key_id=key_id,
            cost=1 if key_id is None else self._of_which_one,
        )
        return head + body

    def _recalled(self, path: str, asked: tree_query.TreeQuery) -> tuple[str, Answer | None]:
        """The route, and what memory has."""
        by_id = _PATH_BY_ID.fullmatch(path)
        if by_id is not None:
            depth, since, selection = asked
            return BY_ID, self._reader.recall(int(by_id[1]), depth=depth, since=since, selection=selection)
        if path.startswith(_BEGINS_BY_REFERENCE):
            return BY_REFERENCE, self._by_reference(path, asked)
        return BY_PROPERTY, self._by_property(path, asked)

    def _by_reference(self, path: str, asked: tree_query.TreeQuery) -> Answer | None:
        found = _PATH_BY_REFERENCE.fullmatch(path)
        if found is None:
            return None
        try:
            kind = parameters.entity_type(unquote(found[1]))
            key = EntityKey(kind, parameters.entity_reference(unquote(found[2])))
        except (ProblemError, InvalidError):
            return None
        return self._reader.recall_by_reference(
            key, depth=asked.depth, since=asked.since, selection=asked.selection
        )

    def _by_property(self, path: str, asked: tree_query.TreeQuery) -> Answer | None:
        # Most have nothing encoded but the sign of an e-mail address.
        found = _PLAIN_PATH_BY_PROPERTY.fullmatch(path.replace("%40", "@")) or _PATH_BY_PROPERTY.fullmatch(
            path
        )
        if found is None:
            return None
        try:
            prop = parameters.property_path(unquote(found[1]))
            value = parameters.property_value(unquote(found[2]))
        except (ProblemError, InvalidError):
            return None
        return self._reader.recall_by_property(
            prop,
            value,
            depth=asked.depth,
            since=asked.since,
            limit=parameters.DEFAULT_LIMIT,
            after=0,
            selection=asked.selection,
        )
