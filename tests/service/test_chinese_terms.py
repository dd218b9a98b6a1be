# SPDX-License-Identifier: Apache-2.0
"""One Chinese term for one thing, as docs/web.md lists them: in every catalogue, the README and what papers say."""

import json
import re
from collections.abc import Iterator
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[2]
CATALOGUES = sorted(
    path
    for package in ("cli", "service", "identity", "credit", "traceability", "client", "sdk")
    for path in (ROOT / package).rglob("messages/**/zh-CN.json")
)
NOT_SAID = {
    "登记机关": "登记机构",
    "登记中心": "登记机构",
    "发卡台": "发卡服务台",
    "发证窗口": "发卡服务台",
    "登记台": "发卡服务台",
    "证明机构": "认定机构",
    "身份凭证": "登记证明书",
}
"""What was said beside the term that stands."""
ATTESTS = re.compile(
    r"(?<![./A-Za-z-])attest(s|ed|ing|ation|ations)?\b(?! (status|import|suspend|revoke|reinstate))", re.IGNORECASE
)
PROVES = re.compile(r"prov(e|es|ed|en|ing)\b|proof", re.IGNORECASE)
CERTIFIES = re.compile(r"Certificate of registration|the certificate is ready|print a certificate", re.IGNORECASE)


def texts(found: object, at: str = "") -> Iterator[tuple[str, str]]:
    """Each text of a catalogue with its key; tables of refusals are catalogues in a catalogue."""
    if isinstance(found, str):
        yield at, found
    elif isinstance(found, dict) and "other" in found:  # one text in the forms that numbers take
        yield at, " / ".join(found.values())
    elif isinstance(found, dict):
        for key, value in found.items():
            yield from texts(value, f"{at}/{key}")


def pairs() -> Iterator[tuple[str, str, str]]:
    """Where, English, Chinese."""
    for path in CATALOGUES:
        english = dict(texts(json.loads(path.with_name("en.json").read_text(encoding="utf-8"))))
        for key, chinese in texts(json.loads(path.read_text(encoding="utf-8"))):
            yield f"{path.relative_to(ROOT)} {key}", english[key], chinese


def test_catalogues_are_found() -> None:
    assert len(CATALOGUES) > 20


@pytest.mark.parametrize("unsaid", NOT_SAID)
def test_term_that_another_one_replaced_is_said_nowhere(unsaid: str) -> None:
    where = [place for place, _, chinese in pairs() if unsaid in chinese]
    readme = [line for line in (ROOT / "README.zh-CN.md").read_text(encoding="utf-8").splitlines() if unsaid in line]
    assert (where, readme) == ([], []), NOT_SAID[unsaid]


def test_whoever_attests_is_said_to_attest_and_to_prove_only_where_something_is_proven() -> None:
    faults = []
    for place, english, chinese in pairs():
        if ATTESTS.search(english) and "认定" not in chinese:
            faults.append(f"{place}: attest is 认定: {chinese}")
        if ATTESTS.search(english) and "证明" in chinese and not PROVES.search(english):
            faults.append(f"{place}: 证明 is proof: {chinese}")
    assert faults == []


def test_printed_certificate_of_a_registration_has_a_name_of_its_own() -> None:
    named = [chinese for _, english, chinese in pairs() if CERTIFIES.search(english)]
    assert named
    assert all("证明书" in chinese for chinese in named), named
