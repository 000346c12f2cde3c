"""The operations of the API: one for each route, as the table that the description is made from."""

from typing import Final

from web.openapi.describing import DESCRIBING
from web.openapi.erasing import ERASING
from web.openapi.following import FOLLOWING
from web.openapi.operating import OPERATING
from web.openapi.reads import READS
from web.openapi.writes import WRITES

OPERATIONS: Final = (*READS, *FOLLOWING, *ERASING, *WRITES, *OPERATING, *DESCRIBING)
