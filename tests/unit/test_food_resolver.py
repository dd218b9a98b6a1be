# SPDX-License-Identifier: Apache-2.0
"""The resolver, criterion by criterion of the GS1-Conformant Resolver Standard 1.2."""

import json

import pytest

from tests.trace_rig import BAG, CABBAGE, gtin
from traceability.resolver import LINKSET_MEDIA, VOC, Level, Link, PageLinks, Path, description_file, resolve

ROOT = "https://food.example"
PAGES = "https://pages.example"
KNOWN = {f"01/{CABBAGE}": "菜心", f"01/{CABBAGE}/10/L1": "菜心，批次 L1", f"01/{CABBAGE}/10/L1/21/7": "一件"}
LINKS = PageLinks(PAGES, KNOWN.get)
LOT = f"/01/{CABBAGE}/10/L1"


class Several:
    """A product with leaflets in three languages and two forms."""

    def at(self, path: Path) -> Level | None:
        leaflets = [
            Link("instructions", f"{PAGES}/{tag}.{ending}", tag, media, (tag,))
            for tag in ("zh", "en", "fr")
            for ending, media in (("html", "text/html"), ("pdf", "application/pdf"))
        ]
        return Level("一样东西", (Link("pip", f"{PAGES}/p?a=1#top", "Product"), *leaflets)) if len(path) == 1 else None


@pytest.mark.parametrize(
    "target",
    [
        "/",
        "/01",
        "/01/1",
        f"/01/{CABBAGE[:-1]}{(int(CABBAGE[-1]) + 1) % 10}",
        f"/01/{CABBAGE}/21/7/10/L1",
        f"/gtin/{CABBAGE}",
        f"/shop/01/{CABBAGE}",
        f"/01/{CABBAGE}?17=991399",
        f"/01/{CABBAGE}?linkType=all&linkType=gs1:pip",
        "/01/%00",
        "//evil.example/01/" + CABBAGE,
    ],
)
def test_address_that_is_no_digital_link_is_400_with_a_reason(target: str) -> None:
    answer = resolve(target, LINKS, ROOT)
    assert (answer.status, answer.location, answer.body) == (400, "", None)
    assert answer.reason


@pytest.mark.parametrize("target", [f"/01/{gtin(9)}", f"/01/{gtin(9)}?linkType=all", "/8018/123456789012345675"])
def test_item_of_which_nothing_is_known_is_404(target: str) -> None:
    assert resolve(target, LINKS, ROOT).status == 404


def test_request_is_redirected_to_the_one_default_link_of_the_finest_level_known() -> None:
    assert resolve(LOT, LINKS, ROOT).location == f"{PAGES}/food/01/{CABBAGE}/10/L1"
    assert resolve(LOT + "/21/7", LINKS, ROOT).location == f"{PAGES}/food/01/{CABBAGE}/10/L1/21/7"
    beyond = resolve(f"/01/{CABBAGE}/10/unknown", LINKS, ROOT)
    assert (beyond.status, beyond.location) == (307, f"{PAGES}/food/01/{CABBAGE}?10=unknown")
    assert resolve(LOT, LINKS, ROOT, accept="text/html,*/*;q=0.8").status == 307


def test_page_of_a_wider_level_hears_which_end_of_the_path_nothing_is_known_of() -> None:
    beyond = resolve(f"{LOT}/21/a%2Fb?17=270101", LINKS, ROOT)
    assert beyond.location == f"{PAGES}/food/01/{CABBAGE}/10/L1?21=a%2Fb&17=270101"
    both = resolve(f"/01/{CABBAGE}/10/x%26y%3D1/21/8?linkType=gs1:recallStatus", LINKS, ROOT)
    assert both.location == f"{PAGES}/food/01/{CABBAGE}?10=x%26y%3D1&21=8&linkType=gs1:recallStatus#recall"
    events = resolve(f"/01/{CABBAGE}/10/unknown?linkType=gs1:epcis", LINKS, ROOT)
    assert "10=unknown" not in events.location  # a program's interface knows its own parameters alone
    assert "?" not in resolve(LOT, LINKS, ROOT).location


def test_trailing_slash_is_tolerated() -> None:
    assert resolve(LOT + "/", LINKS, ROOT) == resolve(LOT, LINKS, ROOT)


@pytest.mark.parametrize(
    "asked", ["gs1:recallStatus", f"{VOC}recallStatus", "https%3A%2F%2Fgs1.org%2Fvoc%2FrecallStatus"]
)
def test_request_is_redirected_to_the_link_type_that_is_asked_for(asked: str) -> None:
    answer = resolve(f"{LOT}?linkType={asked}", LINKS, ROOT)
    assert (answer.status, answer.location) == (307, f"{PAGES}/food/01/{CABBAGE}/10/L1?linkType={asked}#recall")


def test_link_type_of_a_level_above_is_found() -> None:
    assert resolve(f"{LOT}?linkType=gs1:pip", LINKS, ROOT).location.startswith(f"{PAGES}/food/01/{CABBAGE}?")


def test_link_type_that_is_not_there_is_404_and_never_200() -> None:
    for asked in ("gs1:dpp", "gs1:nothing", "javascript:alert(1)", ""):
        answer = resolve(f"{LOT}?linkType={asked}", LINKS, ROOT)
        assert (answer.status, answer.location) == (404, ""), asked


@pytest.mark.parametrize("how", [{"target": f"{LOT}?linkType=linkset"}, {"target": f"{LOT}?linkType=all"},
                                 {"target": LOT, "accept": LINKSET_MEDIA},
                                 {"target": LOT, "accept": f"text/html;q=0.5, {LINKSET_MEDIA};q=0.9"}])  # fmt: skip
def test_linkset_has_each_level_up_to_the_key_and_one_default_each(how: dict[str, str]) -> None:
    answer = resolve(how["target"], LINKS, ROOT, accept=how.get("accept", ""))
    assert (answer.status, answer.media) == (200, LINKSET_MEDIA)
    assert answer.body is not None
    entries = json.loads(json.dumps(answer.body))["linkset"]
    assert [entry["anchor"] for entry in entries] == [ROOT + LOT, f"{ROOT}/01/{CABBAGE}"]
    for entry in entries:
        assert len(entry[f"{VOC}defaultLink"]) == 1
        links = [link for name, found in entry.items() if name.startswith(VOC) for link in found]
        assert all(link["href"].startswith("https://") and link["title"] for link in links)


def test_query_is_passed_on_in_front_of_the_fragment() -> None:
    answer = resolve(f"/01/{CABBAGE}?17=270101&utm=a%20b", Several(), ROOT)
    assert answer.location == f"{PAGES}/p?a=1&17=270101&utm=a%20b#top"


def test_each_answer_about_a_known_item_names_the_linkset() -> None:
    for target in (LOT, f"{LOT}?linkType=all", f"{LOT}?linkType=gs1:dpp"):
        link = resolve(target, LINKS, ROOT).link
        assert link.startswith(f'<{ROOT}{LOT}?linkType=linkset>; rel="linkset"; type="{LINKSET_MEDIA}"')


@pytest.mark.parametrize(
    ("accept", "media"),
    [
        ("", LINKSET_MEDIA),
        ("text/html", LINKSET_MEDIA),
        ("application/json", "application/json"),
        ("application/ld+json, application/json;q=0.9", "application/ld+json"),
        ("application/json;q=0.1, application/linkset+json", LINKSET_MEDIA),
    ],
)
def test_linkset_is_json_or_json_ld_as_is_wanted_and_tells_its_context(accept: str, media: str) -> None:
    """Section 2.10."""
    answer = resolve(f"{LOT}?linkType=linkset", LINKS, ROOT, accept=accept)
    assert answer.body is not None
    assert (answer.status, answer.media) == (200, media)
    context = "https://ref.gs1.org/standards/resolver/linkset-context"
    if media == "application/ld+json":
        assert answer.body["@context"] == context
    else:
        assert answer.link.endswith(
            f'<{context}>; rel="http://www.w3.org/ns/json-ld#context"; type="application/ld+json"'
        )
    assert all(entry["description"] for entry in answer.body["linkset"])
    assert description_file(ROOT, "")["jsonLdContextLocation"] == context


@pytest.mark.parametrize(
    ("language", "accept", "expected"),
    [
        ("fr-CH, en;q=0.9", "application/pdf", [f"{PAGES}/fr.pdf"]),
        ("en", "text/html", [f"{PAGES}/en.html"]),
        ("de, zh;q=0.3", "text/html", [f"{PAGES}/zh.html"]),
        ("en", "", [f"{PAGES}/en.html", f"{PAGES}/en.pdf"]),
        ("zh;q=0, de", "application/pdf", [f"{PAGES}/{tag}.pdf" for tag in ("zh", "en", "fr")]),
        ("zh-Hans-CN", "text/*", [f"{PAGES}/zh.html"]),
        ("en-GB;q=0.8, fr-CA;q=0.9", "application/*", [f"{PAGES}/fr.pdf"]),
        ("en;q=high", "application/pdf;q=1", [f"{PAGES}/{tag}.pdf" for tag in ("zh", "en", "fr")]),
    ],
)
def test_languages_and_media_choose_and_several_that_suit_are_300(
    language: str, accept: str, expected: list[str]
) -> None:
    target = f"/01/{CABBAGE}?linkType=gs1:instructions"
    answer = resolve(target, Several(), ROOT, accept=accept, accept_language=language)
    if len(expected) == 1:
        assert (answer.status, answer.location.partition("?")[0]) == (307, expected[0])
    else:
        assert answer.status == 300
        assert answer.body is not None
        (entry,) = answer.body["linkset"]
        assert entry["anchor"] == f"{ROOT}/01/{CABBAGE}"
        assert [link["href"].partition("?")[0] for link in entry[f"{VOC}instructions"]] == expected
        assert "?linkType=" in entry[f"{VOC}instructions"][0]["href"]


class Regional:
    """Leaflets in kinds of two languages."""

    def at(self, path: Path) -> Level | None:
        tags = ("zh-CN", "zh-HK", "pt-BR", "en")
        links = tuple(Link("instructions", f"{PAGES}/{tag}", tag, "text/html", (tag,)) for tag in tags)
        return Level("一样东西", links) if len(path) == 1 else None


@pytest.mark.parametrize(
    ("language", "expected"),
    [("zh-HK", "zh-HK"), ("pt", "pt-BR"), ("pt-PT", "pt-BR"), ("zh-hk-x-a", "zh-HK"), ("fr, en;q=0.1", "en")],
)
def test_language_that_is_nearest_is_chosen(language: str, expected: str) -> None:
    """Section 2.6.3; RFC 4647, 3.4."""
    answer = resolve(f"/01/{CABBAGE}?linkType=gs1:instructions", Regional(), ROOT, accept_language=language)
    assert (answer.status, answer.location.partition("?")[0]) == (307, f"{PAGES}/{expected}")


def test_redirect_never_leads_where_the_request_says() -> None:
    for query in ("next=https://evil.example", "linkType=https://evil.example/", "href=//evil.example"):
        answer = resolve(f"{LOT}?{query}", LINKS, ROOT)
        assert answer.location == "" or answer.location.startswith(PAGES + "/")


def test_description_file_names_root_keys_and_vocabulary() -> None:
    found = description_file(ROOT, "佛山食品追溯")
    assert found["resolverRoot"] == ROOT
    assert "01" in found["supportedPrimaryKeys"]
    assert found["supportedLinkType"] == [{"namespace": VOC, "prefix": "gs1:"}]


def test_serial_without_its_lot_has_a_page_of_its_own() -> None:
    links = PageLinks(PAGES, {f"01/{BAG}/21/7": "一袋"}.get)
    assert resolve(f"/01/{BAG}/21/7", links, ROOT).location == f"{PAGES}/food/01/{BAG}/21/7"
