"""The text of a letter that nothing else can read: its encodings, and the tokens in it. Pure."""

import codecs
import json
import re
import unicodedata
from collections.abc import Iterator
from html import unescape
from typing import Any, Final, NamedTuple
from urllib.parse import unquote

_BOMS: Final = (
    (codecs.BOM_UTF8, "utf-8-sig"),
    (codecs.BOM_UTF32_LE, "utf-32"),
    (codecs.BOM_UTF32_BE, "utf-32"),
    (codecs.BOM_UTF16_LE, "utf-16"),
    (codecs.BOM_UTF16_BE, "utf-16"),
)
_WIDE: Final = ("utf-16-le", "utf-16-be", "utf-32-le", "utf-32-be")
# Those that differ above ASCII, where names are.
_NARROW: Final = ("cp1252", "latin-1", "cp850", "mac-roman")
# Of other scripts, for letters of a usual size: each is one more text to be looked through.
_OF_OTHER_SCRIPTS: Final = (
    *("cp1250", "cp1251", "cp1253", "koi8-r", "cp866", "iso8859-2"),
    *("gb18030", "shift_jis", "euc-jp", "euc-kr", "big5"),
)
_MOST_IN_OTHER_SCRIPTS: Final = 64 * 1024

_MEMBER: Final = re.compile(
    r"""(?<![\w.$-])["'<]?(?P<name>\w[\w.$-]{0,99})["'>]?\s{0,8}[:=>]\s{0,8}(?:"(?P<double>(?:[^"\\]|\\.)*)"|'(?P<single>[^']{0,1024})'|(?P<bare>[^\s,;&|{}\[\]()"'<>]{1,1024}))""",
    re.DOTALL,
)
_QUOTED: Final = re.compile(r'"((?:[^"\\]|\\.)*)"', re.DOTALL)
# Control characters frame the texts of binary records.
_FIELDS: Final = re.compile(r"""[,;|&\x00-\x1f\x7f{}\[\]()<>"'`]+""")
# What may hold quotes and brackets of its own: columns of a table, and what stands between two tags.
_COLUMNS: Final = re.compile(r"[,;|\x00-\x08\x0a-\x1f\x7f]+|\t")
_TAGGED: Final = re.compile(r">([^<>]{1,1024})<")
_SEPARATOR: Final = re.compile(r"[:=/?#]")
_EDGES: Final = ".!*_-\u2026 "
_MAX_SPLITS: Final = 16
MAX_CHARACTERS: Final = 1024  # of a reference


class Token(NamedTuple):
    """A text that may be a reference, and the word before it, as `user` of `user/1` and `ref=1`; `` for none."""

    text: str
    name: str


def texts_of(data: bytes) -> list[str]:
    """What the bytes may spell, the likeliest first; one text where they are UTF-8."""
    for bom, encoding in _BOMS:
        if data.startswith(bom):
            found = _decoded(data, encoding)
            if found is not None:
                return [found]
    whole = _decoded(data, "utf-8")
    if whole is not None and "\0" not in whole:
        return [whole]
    wide = [text for text in (_decoded(data, name) for name in _WIDE) if text is not None and _is_text(text)]
    if whole is not None:
        return [whole, *wide]
    encodings = _NARROW if len(data) > _MOST_IN_OTHER_SCRIPTS else (*_NARROW, *_OF_OTHER_SCRIPTS)
    narrow = [text for text in (_decoded(data, name) for name in encodings) if text is not None]
    return list(dict.fromkeys((*narrow, *wide, data.decode(errors="replace"))))


def document_of(text: str) -> Any:
    """The JSON object, array or string, or None where it is none; of members of one name all are kept."""
    if text.lstrip()[:1] not in ("{", "[", '"'):
        return None
    try:
        return json.loads(text, object_pairs_hook=_members, strict=False)
    except (ValueError, RecursionError):
        return None


def tokens_of(text: str) -> Iterator[Token]:
    """Everything in a text that may be a reference: its members, its fields, its words, and what follows a separator.

    A word ends at blanks, quotes, brackets, commas and control characters, and at colons, slashes and equals signs;
    never at a letter, a digit, a dot, a hyphen or an at sign. A column is taken with its quotes and brackets, too.
    """
    for found in _MEMBER.finditer(text):
        value = found["double"] if found["double"] is not None else found["single"] or found["bare"] or ""
        yield Token(unescaped(value), found["name"])
    for quoted in _QUOTED.finditer(text):
        inner = unescaped(quoted[1])
        yield Token(inner, "")
        yield from _parts(inner)
    yield from _parts(text)
    for column in (text, *_COLUMNS.split(text)):
        if len(column) <= MAX_CHARACTERS and _FIELDS.search(column):
            yield Token(column, "")
            yield from _split(column.strip().strip("\"'"))
    for tagged in _TAGGED.finditer(text):
        if _FIELDS.search(tagged[1]):
            yield Token(unescape(tagged[1]), "")


def _parts(text: str) -> Iterator[Token]:
    before = ""
    for piece in _FIELDS.split(text):
        field = piece.strip()
        if not field:
            continue
        yield from _split(field, before)
        before = field
        words = field.split()
        if len(words) > 1:
            previous = ""
            for word in words:
                yield from _split(word, previous)
                previous = word.strip(_EDGES)


def spellings_of(text: str) -> Iterator[str]:
    """The text, and what it is without blanks, percent signs, decomposed letters or a second encoding."""
    yield text
    stripped = text.strip()
    if stripped != text:
        yield stripped
    if "%" in stripped:
        yield unquote(stripped)
    if "\\u" in stripped:
        yield unescaped(stripped)
    if stripped.isascii():
        return
    if not unicodedata.is_normalized("NFC", stripped):
        yield unicodedata.normalize("NFC", stripped)
    for encoding in ("cp1252", "latin-1"):
        try:
            yield stripped.encode(encoding).decode()
        except UnicodeError:
            continue


def unescaped(quoted: str) -> str:
    """What stands between two quotation marks of JSON."""
    if "\\" not in quoted:
        return quoted
    try:
        return str(json.loads(f'"{quoted}"', strict=False))
    except ValueError:
        return quoted.replace('\\"', '"')


def _split(text: str, before: str = "") -> Iterator[Token]:
    """The text, and of `a:b/c` also `b/c` and `c`, each with the word before it."""
    trimmed = text.strip(_EDGES)
    if not trimmed or len(text) > MAX_CHARACTERS:
        return
    yield Token(text, before)
    if trimmed != text:
        yield Token(trimmed, before)
    start = 0
    for count, separator in enumerate(_SEPARATOR.finditer(trimmed)):
        if count >= _MAX_SPLITS:
            return
        name, rest = trimmed[start : separator.start()].strip(), trimmed[separator.end() :].strip()
        start = separator.end()
        if name:
            yield Token(name, before)
        if rest:
            yield Token(rest, name)
            before = name


def _members(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    members: dict[str, Any] = {}
    for name, part in pairs:
        while name in members:
            name += "\0"  # noqa: PLW2901 - a name that means the same
        members[name] = part
    return members


def _decoded(data: bytes, encoding: str) -> str | None:
    try:
        return data.decode(encoding)
    except UnicodeError:
        return None


def _is_text(text: str) -> bool:
    """Whether bytes that are read as a wide encoding give letters that somebody writes together.

    In the wrong order of bytes next to none of them is a usual one; in the right one those of JSON's structure are,
    though the names are of any script.
    """
    sample = text[:400]
    plain = sum(
        1 for character in sample if character < "\u0530" and (character.isprintable() or character.isspace())
    )
    return bool(sample) and plain * 10 >= len(sample) * 3
