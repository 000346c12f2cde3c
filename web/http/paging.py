"""Pages that lead to the next one."""

from collections.abc import Sequence
from urllib.parse import urlencode

from aiohttp import web

from web.problems import instance_of


def next_page(request: web.Request, cursor: str, kept_parameters: Sequence[str]) -> str:
    """The header Link of a page that another one follows."""
    query = request.rel_url.query
    kept = [(name, query[name]) for name in kept_parameters if name in query]
    return f'<{instance_of(request.rel_url.raw_path)}?{urlencode([*kept, ("cursor", cursor)])}>; rel="next"'
