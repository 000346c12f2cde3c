"""The configuration files of the servers, with `$name` placeholders."""

from pathlib import Path
from string import Template

_HERE = Path(__file__).parent


def render(name: str, **values: object) -> str:
    """The text of a template. Raises KeyError when a placeholder is left without a value."""
    return Template((_HERE / name).read_text()).substitute({key: str(value) for key, value in values.items()})
