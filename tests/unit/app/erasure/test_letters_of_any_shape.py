"""A letter that names the erased person in any way goes; a letter about others stays."""

import base64
import json
from collections.abc import Callable
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from app.core.models import EntityKey
from app.erasure.mentions import names_of

AT = 1_736_937_000_123


def about(
    value: Any,
    reference: str,
    *,
    key: bytes | None = None,
    typed: bool = True,
    kind: str = "user",
    others: tuple[bytes, ...] = (),
) -> bool:
    """Whether the ledger would say so, had this entity been erased."""
    data = value if isinstance(value, bytes) else json.dumps(value, ensure_ascii=False).encode()
    named = names_of(key=key, value=data, timestamp_ms=AT, typed=typed, others=others)
    return EntityKey(kind, reference) in named.keys or reference in named.references


def nested(text: str) -> str:
    return json.dumps({"body": json.dumps({"customer": {"id": text}})})


SHAPES: dict[str, Callable[[str], Any]] = {
    "no type": lambda r: {"entity_reference": r, "field_name": "email", "field_value": 1},
    "type null": lambda r: {"entity_reference": r, "entity_type": None},
    "type a number": lambda r: {"entity_reference": r, "entity_type": 7},
    "type empty": lambda r: {"entity_reference": r, "entity_type": ""},
    "type unknown": lambda r: {"entity_reference": r, "entity_type": "unknown"},
    "type in capitals": lambda r: {"entity_reference": r, "entity_type": "User "},
    "type a list": lambda r: {"reference": r, "type": ["user"]},
    "camel case": lambda r: {"entityReference": r, "entityType": "user"},
    "capitals": lambda r: {"ENTITY_REFERENCE": r},
    "hyphens": lambda r: {"entity-reference": r},
    "written in one": lambda r: {"entityreference": r},
    "short": lambda r: {"ref": r, "kind": "user"},
    "id beside type": lambda r: {"id": r, "type": "user"},
    "customer": lambda r: {"customer": {"id": r}},
    "customer id": lambda r: {"customer_id": r},
    "portuguese": lambda r: {"tipo": "user", "referencia": r},
    "edges without types": lambda r: {
        "reference": "x-1",
        "type": "user",
        "edges": [{"entity_reference": r, "relation_type": "knows"}],
    },
    "other end": lambda r: {"target": {"reference": r}, "type": "user", "reference": "x-1"},
    "subject": lambda r: {"subject": f"user/{r}", "metric": "m", "revision": 1},
    "subject with a colon": lambda r: {"subject": f"user:{r}"},
    "subject alone": lambda r: {"subject": r},
    "urn": lambda r: {"who": f"urn:user:{r}"},
    "url": lambda r: {"link": f"https://example.org/v1/users/{r}?page=2"},
    "text within text": lambda r: {"payload": json.dumps({"user_id": r})},
    "text within text within text": lambda r: {"payload": nested(r)},
    "broken text within text": lambda r: {"payload": json.dumps({"user_id": r})[:-1] + ","},
    "list of two": lambda r: {"about": ["user", r]},
    "list of users": lambda r: {"users": ["x-1", r]},
    "member": lambda r: {"users": {r: {"seen": True}}},
    "said twice": lambda r: json.dumps({"user_id": r})[:-1].encode() + b', "user_id": "x-1"}',
    "form": lambda r: f"a=b&user_id={r}&c=d".encode(),
    "csv": lambda r: f"9;user;{r};x".encode(),
    "xml": lambda r: f'<event><userId>{r}</userId><n ref="x-1"/></event>'.encode(),
    "log line": lambda r: f"2025-01-01 WARN refused user {r}: no type".encode(),
    "cut off": lambda r: json.dumps({"entity_reference": r, "entity_type": "user"})[:-2].encode(),
    "two values": lambda r: b'{"a": 1} ' + json.dumps({"entity_reference": r}).encode(),
    "envelope": lambda r: {"before": None, "after": {"id": None, "type": "user", "reference": r}, "op": "c"},
    "envelope with schema": lambda r: {
        "schema": {"name": "x"},
        "payload": {"after": {"properties": json.dumps({"owner_id": {"value": r}})}},
    },
    "array": lambda r: [{"user_id": r}],
}
REFERENCES = ["1", "42", "a", "maria", "maria@x.com", "user-cdnow-00004", "44250161900", "José 2"]


@pytest.mark.parametrize("shape", SHAPES)
def test_a_letter_that_names_the_person_is_about_it(shape: str) -> None:
    in_words = shape in ("csv", "form", "log line", "xml", "url")
    missed = [
        (reference, typed)
        for reference in REFERENCES
        for typed in (True, False)
        if not (in_words and " " in reference)  # a blank ends a word
        and not about(SHAPES[shape](reference), reference, typed=typed)
    ]
    assert missed == []


@pytest.mark.parametrize("number", [1, 42, 1.0, 10**15])
@pytest.mark.parametrize("name", ["entity_reference", "reference", "customerId", "userid", "subject"])
def test_a_reference_that_is_a_number_names_the_person(name: str, number: float) -> None:
    assert about({name: number, "entity_type": "user"}, str(int(number)))


@pytest.mark.parametrize(
    "encoding", ["latin-1", "cp1252", "utf-16", "utf-16-le", "utf-16-be", "utf-8-sig", "utf-32"]
)
def test_bytes_of_another_encoding_name_the_person(encoding: str) -> None:
    for reference in ("1", "josé", "maria@x.com", "Größe-7"):
        for form in ('{{"user_id": "{}", "ç": "é"}}', "ç=é;user_id={}", "{{'user_id': '{}'"):
            assert about(form.format(reference).encode(encoding), reference), (form, reference)


@pytest.mark.parametrize(
    ("key", "value"),
    [
        (b"user:1", b"{"),
        (b"user/1", b"{}"),
        (b"1", b"{}"),
        (b'{"customer_id": 1}', b"\xff"),
        (b'"1"', b"[]"),
        ("user:1".encode("utf-16"), b""),
    ],
)
def test_a_record_key_names_the_person(key: bytes, value: bytes) -> None:
    assert about(value, "1", key=key)
    assert about(value, "1", key=key, typed=False)


def test_the_reason_of_a_letter_names_the_person() -> None:
    assert about({}, "maria@x.com", others=(b"user/maria@x.com exceeds a limit.",))


OTHERS: list[Any] = [
    {"entity_reference": "10", "entity_type": "user", "field_name": "n", "field_value": 1},
    {"entity_reference": "21", "entity_type": "user", "field_value": "1", "reference_date": "2025-01-01"},
    {"entity_reference": "1", "entity_type": "device"},
    {"entity_reference": 1, "entity_type": "device"},
    {"id": 1, "reference": "user-1", "type": "user", "edges": []},
    {"id": "1", "reference": "u-1", "type": "user", "edges": [{"entity_reference": "11"}]},
    {"subject": "user/11", "revision": 1, "computed_at": 1, "measures": {"1": 1}},
    {"subject": "device/1", "revision": 1},
    {"customer_id": "user-1", "amount_cents": 1, "quantity": "1", "occurred_at": "1-1-1T01:01:01+01:00"},
    {"account_id": 1, "organizationId": "1", "event_id": 1, "offset": 1, "partition": "1"},
    {"note": "1 of 1: paid 1.00, 1/1/2025, 1:1", "values": [1, 1.0, "1", ["1"]]},
    {"a": {"b": {"id": 1}}, "date": "1", "user_count": 1, "reference_date": 1, "customer_type": "1"},
    {"before": {"id": 12, "type": "user", "reference": "u", "properties": '{"n": {"value": 1}}'}},
    b"10;1;1,00;1",
    b'{"user_id": "11", "n": 1',
    b"user-1 user_1 user1 1user 1-user",
    b"\xff\xfe\x00",
]


@pytest.mark.parametrize("value", OTHERS, ids=str)
def test_a_letter_about_others_is_not_about_a_short_reference(value: Any) -> None:
    for typed in (True, False):
        for key in (None, b"user:11", b"device:1"):
            assert not about(value, "1", typed=typed, key=key)


def test_a_thousand_letters_about_others_are_left_alone() -> None:
    left = [
        about(
            {
                "entity_reference": str(number),
                "entity_type": "user",
                "field_name": "visits",
                "field_value": {"amount": 1, "page": "1", "at": f"2025-01-{number % 28 + 1:02}T01:00:00.1Z"},
                "offset": number - 1,
            },
            "1",
            key=f"user:{number}".encode(),
            typed=typed,
        )
        for number in range(2, 502)
        for typed in (True, False)
    ]
    assert (len(left), sum(left)) == (1_000, 0)


@pytest.mark.parametrize(
    "text", ["mariana", "ana-maria", "maria-2", "maria@x.com", "xmaria", "maria_1", "MARIA"]
)
def test_a_part_of_a_word_is_no_reference(text: str) -> None:
    for value in ({"customer": text}, {"note": f"to {text} today"}, f"a;{text};b".encode()):
        assert not about(value, "maria", typed=False)


def test_what_a_short_text_may_be_is_told_apart() -> None:
    named = names_of(key=None, value=b'{"amount": 1}', timestamp_ms=AT, typed=True)
    assert "1" in named.doubtful


def test_the_id_of_a_source_is_none_of_the_graph() -> None:
    for typed in (True, False):
        value = b'{"id": 7, "type": "user", "reference": "u-8", "entity_id": 7}'
        assert names_of(key=b"user:u-8", value=value, timestamp_ms=AT, typed=typed).ids == frozenset()


WORDS = st.text(
    st.characters(codec="utf-8", exclude_categories=("Cs", "Cc", "Z", "P", "S")), min_size=3, max_size=12
)
LEAVES = (
    st.none() | st.booleans() | st.integers(-(10**6), 10**6) | st.sampled_from(["", "x", "2025-01-01", "é"])
)
NAMES = st.sampled_from(
    ["user_id", "customer", "reference", "a", "edges", "payload", "entityReference", "type"]
)


@st.composite
def around(draw: st.DrawFn, reference: str) -> Any:
    """A document that holds the reference somewhere, in some form."""
    part: Any = draw(
        st.sampled_from(
            [reference, f"user/{reference}", f"user:{reference}", f" {reference} ", f"to {reference}, now"]
        )
    )
    for _ in range(draw(st.integers(1, 5))):
        match draw(st.integers(0, 3)):
            case 0:
                part = [draw(LEAVES), part, draw(LEAVES)]
            case 1:
                part = json.dumps(part, ensure_ascii=draw(st.booleans()))
            case _:
                part = {draw(NAMES): part, "n": draw(LEAVES)}
    return part


@settings(max_examples=60, deadline=None)
@given(
    data=st.data(), reference=WORDS.filter(lambda word: any(c.isalpha() for c in word)), typed=st.booleans()
)
def test_a_reference_is_found_in_any_document(data: st.DataObject, reference: str, typed: bool) -> None:
    document = data.draw(around(reference))
    # Told as the type of something, it names nobody.
    if "type" not in json.dumps(document):
        text = json.dumps(document, ensure_ascii=data.draw(st.booleans()))
        encoding = data.draw(st.sampled_from(["utf-8", "utf-16", "utf-16-le", "utf-32"]))
        cut = data.draw(st.sampled_from(["", "}", " x", "{"]))
        assert about((text + cut).encode(encoding), reference, typed=typed)


@settings(max_examples=60, deadline=None)
@given(value=st.binary(max_size=300), key=st.none() | st.binary(max_size=40), typed=st.booleans())
def test_any_bytes_can_be_read(value: bytes, key: bytes | None, typed: bool) -> None:
    assert not names_of(key=key, value=value, timestamp_ms=AT, typed=typed).cut


@pytest.mark.parametrize(
    "value",
    [
        b"[" * 300_000,
        b'"' * 300_000,
        b"a:" * 200_000,
        b"\\" * 200_000,
        b"1 " * 200_000,
        json.dumps([str(n) for n in range(120_000)]).encode(),
        base64.b64encode(bytes(range(256)) * 1_000),
        json.dumps({"a": json.dumps({"b": "x " * 150_000})}).encode(),
    ],
    ids=["brackets", "quotes", "colons", "backslashes", "numbers", "strings", "base64", "within"],
)
def test_a_large_letter_is_read_within_bounds(value: bytes, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("app.erasure.mentions._MAX_STEPS", 10_000)
    monkeypatch.setattr("app.erasure.mentions._MAX_NAMES", 5_000)
    named = names_of(key=None, value=value, timestamp_ms=AT, typed=False)
    assert len(named.keys) + len(named.references) + len(named.doubtful) < 6_000


def test_a_letter_that_names_too_many_says_so(monkeypatch: pytest.MonkeyPatch) -> None:
    value = json.dumps([f"user-{n}" for n in range(1_000)]).encode()
    assert not names_of(key=None, value=value, timestamp_ms=AT, typed=True).cut
    monkeypatch.setattr("app.erasure.mentions._MAX_NAMES", 500)
    assert names_of(key=None, value=value, timestamp_ms=AT, typed=True).cut


@pytest.mark.parametrize(
    ("reference", "value"),
    [
        ("maria@x.com", b"\x00\x00\x00\x00\x05\x02\x16maria@x.com\x00"),  # a text in a binary record
        ("maria@x.com", b"\x0a\x0bmaria@x.com\x10\x01"),
        ("O'Brien", b"O'Brien"),
        ("O'Brien", b"7;O'Brien;12,50"),
        ("O'Brien", b'7,"O\'Brien",12'),
        ("O'Brien", b"7\tO'Brien\t12"),
        ("O'Brien", b"name=O'Brien"),
        ("O'Brien", b"<user><name>O&#x27;Brien</name></user>"),
        ("x{y}", b"<name>x{y}</name>"),
        ("a&b <c>", b"<name>a&amp;b &lt;c&gt;</name>"),
        ("\u65e5\u672c\u592a\u90ce", '{"x": "\u65e5\u672c\u592a\u90ce"}'.encode("utf-16-le")),
        ("\u65e5\u672c\u592a\u90ce", '{"x": "\u65e5\u672c\u592a\u90ce"}'.encode("utf-16-be")),
        (
            "\u0410\u043d\u043d\u0430 \u041f\u0435\u0442\u0440\u043e\u0432\u0430",
            b"1;\xc0\xed\xed\xe0 \xcf\xe5\xf2\xf0\xee\xe2\xe0;2",  # cp1251
        ),
        ("Łukasz Żak", "x=1,name=Łukasz Żak".encode("cp1250")),
        ("日本太郎", '{"x": "日本太郎"'.encode("shift_jis")),
        ("王小明", "1,王小明,2".encode("gb18030")),
    ],
)
def test_names_in_binary_records_columns_tags_and_other_scripts(reference: str, value: bytes) -> None:
    for typed in (True, False):
        assert about(value, reference, typed=typed)
        assert not about(value, reference + "x", typed=typed)
        assert not about(value, reference[1:], typed=typed) or not reference[0].isalnum()
