"""The first migration for servers that do not have the extension pg_partman, as managed ones may not.

Released files are never edited, and the first one makes monthly partitions by that extension. Later ones put all points
into one table and drop both. So on a server without it a new database begins with the default partition alone, and has
the same schema in the end.
"""

import re
from typing import Final

FIRST: Final = "0001_schema"
_EXTENSION: Final = "CREATE EXTENSION IF NOT EXISTS pg_partman SCHEMA partman;\n"
_TABLE: Final = (
    "CREATE TABLE partman.part_config (\n"
    "    parent_table text, infinite_time_partitions boolean, ignore_default_data boolean);\n"
)
_PARENT: Final = re.compile(
    r"^DO \$\$\nBEGIN\n    IF [^\n]*'pg_partman'\) THEN\n.*?^\$\$;\n", re.DOTALL | re.MULTILINE
)
_DEFAULT: Final = "CREATE TABLE temporal_properties_default PARTITION OF temporal_properties DEFAULT;\n"


def without_partman(sql: str) -> str:
    """The text of the first migration, with nothing of the extension. Raises ValueError where it is another file."""
    changed, parents = _PARENT.subn(_DEFAULT, sql)
    if parents != 1 or changed.count(_EXTENSION) != 1:
        raise ValueError("This is not the first migration.")
    return changed.replace(_EXTENSION, _TABLE)
