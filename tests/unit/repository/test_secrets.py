"""No file of the repository holds what opens a door."""

import re
import subprocess
from collections.abc import Iterator
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[3]

# Each by its form; passwords in addresses are judged apart.
FORMS = {
    "private key": r"-----BEGIN (?:[A-Z0-9]+ )*PRIVATE KEY(?: BLOCK)?-----",
    "API key of this service": r"upk_[0-9a-f]{12}_[0-9a-f]{64}",
    "AWS key": r"\b(?:AKIA|ASIA)[0-9A-Z]{16}\b",
    "GitHub token": r"\bgh[pousr]_[A-Za-z0-9]{36,}\b|\bgithub_pat_[A-Za-z0-9_]{60,}",
    "GitLab token": r"\bglpat-[A-Za-z0-9_-]{20,}",
    "Slack token": r"\bxox[abprs]-[A-Za-z0-9-]{20,}",
    "Google key": r"\bAIza[A-Za-z0-9_-]{35}\b",
    "Stripe key": r"\b[rs]k_live_[A-Za-z0-9]{20,}",
    "registry token": r"\bpypi-[A-Za-z0-9_-]{50,}|\bnpm_[A-Za-z0-9]{36}\b|_authToken\s*=",
    "JSON web token": r"\beyJ[A-Za-z0-9_-]{15,}\.eyJ[A-Za-z0-9_-]{15,}\.[A-Za-z0-9_-]{15,}",
    "password of 16 signs and more": (
        r"(?i:\b(?:password|passwd|secret|token|api_?key)[\"']?\s*[:=]\s*[\"'](?=[^\"'\s]*\d)[A-Za-z0-9+/_=-]{16,}[\"'])"
    ),
}
FOUND = re.compile("|".join(f"(?:{form})" for form in FORMS.values()))
ADDRESS = re.compile(r"[a-z]+://[^\s/@:\"'{}$]*:([^\s/@\"'{}$]+)@", re.ASCII)
# Of the local stack, and of tests and examples.
KNOWN_PASSWORDS = {
    *("poc_password", "test", "secret", "p", "pass", "password", "b", "x", "pw", "p%40ss", "hidden", "…"),
}
MAX_BYTES = 2 * 2**20


def text_files() -> Iterator[tuple[str, str]]:
    listed = subprocess.run(
        ["git", "ls-files", "-z"], cwd=ROOT, capture_output=True, text=True, check=True
    ).stdout
    for name in filter(None, listed.split("\0")):
        path = ROOT / name
        if path.is_file() and path.stat().st_size <= MAX_BYTES:
            yield name, path.read_bytes().decode(errors="replace")


def test_no_file_holds_a_secret() -> None:
    found = []
    for name, text in text_files():
        found += [f"{name}:{text.count(chr(10), 0, hit.start()) + 1}" for hit in FOUND.finditer(text)]
        found += [
            f"{name}:{text.count(chr(10), 0, hit.start()) + 1} (a password in an address)"
            for hit in ADDRESS.finditer(text)
            if hit[1] not in KNOWN_PASSWORDS and not hit[1].startswith("%")
        ]
    assert not found, f"secrets, or what looks like some: {found}"


@pytest.mark.parametrize(
    "text",
    [
        "-----BEGIN RSA " + "PRIVATE KEY-----",
        "upk_" + "0" * 12 + "_" + "a1" * 32,
        "AKIA" + "A" * 16,
        "ghp_" + "a" * 36,
        "password = '" + "abcdefgh12345678" + "'",
        '"api_key": "' + "Zm9vYmFyYmF6cXV1eDEyMw==" + '"',
    ],
)
def test_the_forms_are_known(text: str) -> None:
    assert FOUND.search(f"some {text} more")


def test_an_address_with_a_password_is_known() -> None:
    hit = ADDRESS.search("postgresql://user:" + "hunter22" + "@db/x")
    assert hit is not None
    assert hit[1] not in KNOWN_PASSWORDS
