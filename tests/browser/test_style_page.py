# SPDX-License-Identifier: Apache-2.0
"""Every piece of the design system in a real browser: readable, operable, quiet, and true to its word."""

import re
from collections.abc import Callable
from pathlib import Path

import pytest
from playwright.sync_api import Page, expect
from visiting import Size, Visit

Open = Callable[..., Visit]

LANGUAGES = ("zh-CN", "en")
THEMES = ("light", "dark")
VIEWS: tuple[tuple[str, Size, str, str], ...] = (
    ("/_styles", "desktop", "zh-CN", "light"),
    ("/_styles", "desktop", "en", "dark"),
    ("/_styles", "phone", "zh-CN", "dark"),
    ("/_styles", "phone", "en", "light"),
    ("/_styles/workplace", "desktop", "zh-CN", "light"),
    ("/_styles/workplace", "tablet", "en", "dark"),
    ("/_styles/kiosk", "kiosk", "zh-CN", "light"),
    ("/_styles/kiosk", "kiosk", "en", "dark"),
)
"""Each piece in each language with each theme; each size and layout in both languages and both themes."""


def state_of(page: Page, strip: str) -> str | None:
    return page.locator(f"#{strip}").get_attribute("data-state")


@pytest.mark.parametrize(("path", "size", "language", "theme"), VIEWS)
def test_each_piece_in_each_language_theme_and_size_has_no_serious_fault(
    visit: Open, path: str, size: Size, language: str, theme: str
) -> None:
    seen = visit(size=size, language=language, theme=theme)
    page = seen.open(path)
    expect(page.locator("html")).to_have_attribute("lang", language)
    expect(page.locator("#proof-unchecked")).to_have_attribute("data-state", "unchecked")
    seen.keep(f"styles{path.removeprefix('/_styles').replace('/', '-')}", whole=size != "kiosk")
    assert seen.axe() == []
    assert not seen.is_wider_than_screen()


def test_chosen_theme_overrules_the_system_in_both_directions(visit: Open) -> None:
    for system, chosen, paper in (("dark", "light", "rgb(247, 246, 241)"), ("light", "dark", "rgb(18, 22, 20)")):
        seen = visit(theme=system)
        page = seen.open("/_styles?page=2")
        page.locator("summary[title]").click()
        page.locator(f"[data-theme-choice={chosen}]").click()
        expect(page.locator("body")).to_have_css("background-color", paper)
        page.reload()
        expect(page.locator("html")).to_have_attribute("data-theme", chosen)
        expect(page.locator("body")).to_have_css("background-color", paper)


def test_theme_is_chosen_without_scripts_too(visit: Open) -> None:
    page = visit(java_script_enabled=False, theme="light").open("/_styles?sort=-delay")
    page.locator("summary[title]").click()
    page.locator("[data-theme-choice=dark]").click()
    expect(page).to_have_url(re.compile(r"/_styles\?sort=-delay&theme=dark$"))
    page.goto(page.url.replace("&theme=dark", ""))
    expect(page.locator("html")).to_have_attribute("data-theme", "dark")


def test_language_switch_keeps_page_query_and_choice(visit: Open) -> None:
    seen = visit(language="zh-CN")
    page = seen.open("/_styles/workplace?sort=-signed&page=2&note=a%26b")
    page.get_by_role("link", name="English").click()
    expect(page).to_have_url(f"{seen.origin}/_styles/workplace?sort=-signed&page=2&note=a%26b&lang=en")
    expect(page.locator("html")).to_have_attribute("lang", "en")
    seen.open("/_styles")
    expect(page.locator("html")).to_have_attribute("lang", "en")


@pytest.mark.parametrize("path", ["/_styles", "/_styles/workplace"])
@pytest.mark.parametrize("language", LANGUAGES)
def test_page_at_320_pixels_is_never_scrolled_sideways(visit: Open, path: str, language: str) -> None:
    seen = visit(viewport={"width": 320, "height": 640}, language=language)
    seen.open(path)
    assert not seen.is_wider_than_screen()


def test_page_at_200_per_cent_zoom_loses_nothing(visit: Open) -> None:
    seen = visit(viewport={"width": 720, "height": 450}, device_scale_factor=2)  # what zooming does to 1440 pixels
    page = seen.open("/_styles")
    assert not seen.is_wider_than_screen()
    cut = page.evaluate(
        """[...document.querySelectorAll('main :is(p, h1, h2, h3, dd, dt, label, .btn, .badge, li > span)')]
           .filter(e => e.checkVisibility() && !e.closest('.scroll, .unseen, .steps'))
           .filter(e => e.scrollWidth > e.clientWidth + 1 && getComputedStyle(e).overflow !== 'visible')
           .map(e => e.outerHTML.slice(0, 80))"""
    )
    assert cut == []


def test_large_wall_of_pixels_shows_larger_type(visit: Open) -> None:
    page = visit(viewport={"width": 3840, "height": 2160}).open("/_styles")
    assert page.evaluate("parseFloat(getComputedStyle(document.body).fontSize)") >= 24


def test_kiosk_has_large_type_and_targets(visit: Open) -> None:
    page = visit(size="kiosk").open("/_styles/kiosk")
    assert page.evaluate("getComputedStyle(document.body).fontSize") == "28px"
    small = page.evaluate(
        """[...document.querySelectorAll('a.btn, button.btn, .tool, .tile, .places a, select, input.mono, .choice')]
           .filter(e => e.checkVisibility())
           .map(e => [e.outerHTML.slice(0, 60), e.getBoundingClientRect().height])
           .filter(([, height]) => height < 72)"""
    )
    assert small == []


def test_targets_on_a_phone_are_at_least_44_pixels(visit: Open) -> None:
    page = visit(size="phone").open("/_styles")
    small = page.evaluate(
        """[...document.querySelectorAll('a.btn, button.btn, .tool, .places a, select, summary, .choice, .tab-list a')]
           .filter(e => e.checkVisibility())
           .map(e => [e.outerHTML.slice(0, 60), e.getBoundingClientRect().height])
           .filter(([, height]) => height < 44)"""
    )
    assert small == []


def test_keyboard_reaches_everything_and_focus_is_always_seen(visit: Open) -> None:
    page = visit().open("/_styles")
    page.keyboard.press("Tab")
    expect(page.locator(".skip")).to_be_focused()
    expect(page.locator(".skip")).to_be_in_viewport()
    page.keyboard.press("Enter")
    expect(page.locator("main")).to_be_focused()
    page.locator(".brand").focus()
    reached = set()
    for _ in range(90):
        page.keyboard.press("Tab")
        seen = page.evaluate(
            """() => { const e = document.activeElement, style = getComputedStyle(e);
                 const ringed = style.outlineStyle !== 'none' && parseFloat(style.outlineWidth) >= 2;
                 return [e.tagName, e === document.body || ringed, e.outerHTML.slice(0, 90)] }"""
        )
        assert seen[1], f"focus is not seen on {seen[2]}"
        reached.add(seen[2])
        if seen[0] == "BODY":
            break
    missed = page.evaluate(
        """reached => [...document.querySelectorAll('main :is(a[href], button, input, select, textarea, summary)')]
             .filter(e => e.checkVisibility() && !e.disabled && e.tabIndex >= 0 && e.type !== 'radio')
             .map(e => e.outerHTML.slice(0, 90)).filter(html => !reached.includes(html))""",
        list(reached),
    )
    assert missed == []


def test_dialog_keeps_the_focus_and_gives_it_back_on_escape(visit: Open) -> None:
    seen = visit()
    page = seen.open("/_styles")
    opener = page.locator("[data-dialog=revoke]")
    opener.focus()
    page.keyboard.press("Enter")
    expect(page.locator("#revoke")).to_be_visible()
    for _ in range(5):
        page.keyboard.press("Tab")
        assert page.evaluate("document.activeElement === document.body || !!document.activeElement.closest('dialog')")
    seen.keep("dialog", whole=False)
    assert seen.axe(within="#revoke") == []
    page.keyboard.press("Escape")
    expect(page.locator("#revoke")).to_be_hidden()
    expect(opener).to_be_focused()


def test_menu_closes_on_escape_and_on_a_click_elsewhere(visit: Open) -> None:
    page = visit().open("/_styles")
    menu = page.locator("details.menu")
    menu.locator("summary").click()
    page.keyboard.press("Escape")
    expect(menu).not_to_have_attribute("open", "")
    expect(menu.locator("summary")).to_be_focused()
    menu.locator("summary").click()
    page.locator("h1").click()
    expect(menu).not_to_have_attribute("open", "")


def test_tabs_follow_the_arrow_keys(visit: Open) -> None:
    page = visit(language="en").open("/_styles")
    tabs = page.get_by_role("tab")
    tabs.first.focus()
    page.keyboard.press("ArrowRight")
    expect(tabs.nth(1)).to_have_attribute("aria-selected", "true")
    expect(tabs.nth(1)).to_be_focused()
    expect(page.locator("#way")).to_be_visible()
    expect(page.locator("#facts")).to_be_hidden()
    page.keyboard.press("ArrowLeft")
    page.keyboard.press("ArrowLeft")
    expect(tabs.last).to_be_focused()


def test_proof_strip_says_what_the_checks_on_this_device_found(visit: Open) -> None:
    page = visit(language="en").open("/_styles")
    expect(page.locator("#proof-proved")).to_have_attribute("data-state", "proved")
    expect(page.locator("#proof-unchecked")).to_have_attribute("data-state", "unchecked")
    found = {name: state_of(page, f"proof-{name}") for name in ("waiting", "checking", "proved", "failed", "unchecked")}
    assert found == {name: name for name in found}
    expect(page.locator("#proof-proved [role=status]")).to_have_text(
        "Your device has just checked this itself It asked nobody, not even this website", use_inner_text=True
    )
    expect(page.locator("#proof-failed [data-step=second]")).to_contain_text("The words are not those recorded.")
    expect(page.locator("#proof-unchecked [data-step=first]")).to_contain_text("Proved:")


def test_proof_strip_is_green_in_the_proved_state_alone(visit: Open) -> None:
    page = visit().open("/_styles")
    expect(page.locator("#proof-proved")).to_have_attribute("data-state", "proved")
    colours = page.evaluate(
        """Object.fromEntries([...document.querySelectorAll('.proof')].map(strip => [strip.dataset.state,
             getComputedStyle(strip.querySelector('.proof-head:not([hidden])')).backgroundColor]))"""
    )
    green = "rgb(224, 239, 233)"
    assert colours.pop("proved") == green
    assert green not in colours.values()


@pytest.mark.parametrize("language", LANGUAGES)
def test_page_without_scripts_is_readable_and_claims_no_check(visit: Open, language: str) -> None:
    seen = visit(java_script_enabled=False, language=language, size="phone")
    page = seen.open("/_styles")
    seen.keep("no-scripts")
    said = {"zh-CN": "您的浏览器没有运行核验程序", "en": "Your browser did not run the check"}[language]
    for strip in page.locator(".proof").all():
        expect(strip.locator("[data-when=unscripted]")).to_contain_text(said)
        assert strip.get_attribute("data-state") == "waiting"
        expect(strip.locator(".proof-head[data-when=waiting]")).to_be_hidden()
    for panel in ("facts", "way", "codes"):
        expect(page.locator(f"#{panel}")).to_be_visible()
    expect(page.locator(".chart table").first).to_be_visible()
    expect(page.locator("[data-copy]").first).to_be_hidden()


@pytest.mark.parametrize("scripts", [True, False])
def test_table_is_sorted_and_paged_by_its_links(visit: Open, scripts: bool) -> None:
    page = visit(language="en", java_script_enabled=scripts).open("/_styles")
    page.locator("html").evaluate("html => { html.dataset.same = 'yes' }")
    page.get_by_role("link", name="Delay").click()
    expect(page.locator("th[aria-sort=ascending]")).to_have_text("Delay")
    assert page.locator("#validators tbody td:last-child").all_inner_texts() == ["3\u00a0ms", "4\u00a0ms", "5\u00a0ms"]
    expect(page).to_have_url(re.compile(r"/_styles\?sort=delay$"))
    assert (page.locator("html").get_attribute("data-same") == "yes") is scripts, "swapped in place, or loaded"
    page.get_by_role("link", name="Next").click()
    expect(page.get_by_text("4–4 of 4")).to_be_visible()
    assert page.locator("#validators tbody td:last-child").all_inner_texts() == ["11\u00a0ms"]
    expect(page.get_by_role("link", name="Next")).to_have_count(0)
    page.go_back()
    expect(page.get_by_text("1–3 of 4")).to_be_visible()


def test_table_swapped_in_place_keeps_the_focus_of_the_keyboard(visit: Open) -> None:
    page = visit(language="en").open("/_styles")
    page.get_by_role("link", name="Delay").focus()
    page.keyboard.press("Enter")
    expect(page.locator("th[aria-sort=ascending]")).to_have_text("Delay")
    expect(page.get_by_role("link", name="Delay")).to_be_focused()
    page.keyboard.press("Enter")
    expect(page.locator("th[aria-sort=descending]")).to_have_text("Delay")


def test_table_is_exported_whole(visit: Open, tmp_path: Path) -> None:
    page = visit(language="zh-CN").open("/_styles?sort=-delay")
    with page.expect_download() as started:
        page.get_by_role("link", name="导出 CSV").click()
    started.value.save_as(tmp_path / "validators.csv")
    lines = (tmp_path / "validators.csv").read_text(encoding="utf-8-sig").splitlines()
    assert lines[0] == "机构,状态,签名率,延迟"
    assert lines[1] == "公证处,刚重启,98.2,11"
    assert len(lines) == 5


def test_chart_is_drawn_from_its_table_and_says_it_in_words(visit: Open) -> None:
    page = visit(language="en").open("/_styles")
    chart = page.locator("[data-chart=line]")
    words = chart.get_by_role("img").get_attribute("aria-label")
    assert words == (
        "Median: lowest 61\u00a0ms, highest 121\u00a0ms, latest 69\u00a0ms. "
        "Slowest hundredth: lowest 96\u00a0ms, highest 288\u00a0ms, latest 130\u00a0ms."
    )
    expect(chart.locator("table")).to_be_hidden()
    chart.locator("summary").click()
    expect(chart.locator("tbody tr")).to_have_count(15)


def test_copy_button_puts_the_whole_code_on_the_clipboard(visit: Open) -> None:
    page = visit(language="en", permissions=["clipboard-read", "clipboard-write"]).open("/_styles#codes")
    button = page.get_by_role("button", name="Copy Record").last
    button.click()
    expect(page.locator("#toasts")).to_contain_text("Copied")
    copied = page.evaluate("navigator.clipboard.readText()")
    assert copied == button.get_attribute("data-copy")
    assert len(copied) == 64


def test_bad_news_stays_until_closed(visit: Open) -> None:
    seen = visit(language="en")
    page = seen.open("/_styles")
    for _ in range(6):
        page.locator("[data-toast=bad]").click()
    expect(page.locator(".toast")).to_have_count(4)
    assert seen.axe(within="#toasts") == []
    page.get_by_role("button", name="Close").first.click()
    expect(page.locator(".toast")).to_have_count(3)


def test_form_is_sent_once_however_often_it_is_pressed(visit: Open) -> None:
    page = visit().open("/_styles")
    sent = page.evaluate(
        """() => { const form = document.querySelector('form.card'); let sent = 0;
             addEventListener('submit', event => { if (!event.defaultPrevented) sent += 1; event.preventDefault() });
             for (let press = 0; press < 3; press += 1) form.requestSubmit(); return sent }"""
    )
    assert sent == 1


def test_countdown_runs_out_unless_somebody_touches_the_screen(visit: Open) -> None:
    seen = visit(language="en")
    seen.page.clock.install()
    page = seen.open("/_styles")
    counter = page.locator("[data-countdown]")
    page.clock.pause_at(seen.page.evaluate("Date.now()") / 1000 + 3_600)  # from here on no second passes by itself
    page.reload()
    page.clock.run_for(40_000)
    expect(counter.locator(".ring b")).to_have_text("20")
    page.locator("h1").click()
    page.clock.run_for(40_000)
    expect(counter.locator(".ring b")).to_have_text("20")
    page.clock.run_for(21_000)
    expect(counter).to_contain_text("Cleared")


def test_moment_stays_true_while_the_page_stands(visit: Open) -> None:
    seen = visit(language="en")
    seen.page.clock.install()
    page = seen.open("/_styles#way")
    moment = page.locator("time[data-ago]")
    expect(moment).to_have_text("3 minutes ago")
    page.clock.run_for(5 * 60_000)
    expect(moment).to_have_text("8 minutes ago")


def test_printed_page_is_black_on_white_with_whole_codes_and_no_controls(visit: Open) -> None:
    seen = visit(theme="dark", language="en")
    page = seen.open("/_styles")
    page.emulate_media(media="print", color_scheme="dark")
    expect(page.locator("body")).to_have_css("background-color", "rgb(255, 255, 255)")
    for hidden in (".tools", ".places", ".btn", ".copy"):
        expect(page.locator(hidden).first).to_be_hidden()
    for shown in ("#facts", "#way", "#codes", ".mark", "#validators"):
        expect(page.locator(shown).first).to_be_visible()
    whole = page.evaluate("getComputedStyle(document.querySelector('[data-whole]'), '::before').content")
    assert len(whole.strip('"')) == 64
    assert page.pdf(format="A4")[:5] == b"%PDF-"
    seen.keep("print")


def test_reduced_motion_stops_what_moves(visit: Open) -> None:
    page = visit(reduced_motion="reduce").open("/_styles")
    moving = "document.getAnimations().filter(a => a.effect.getComputedTiming().duration > 0).length"
    assert page.evaluate(moving) == 0
    assert visit(reduced_motion="no-preference").open("/_styles").evaluate(moving) > 0


@pytest.mark.parametrize("theme", THEMES)
def test_page_in_the_systems_own_colours_keeps_its_borders(visit: Open, theme: str) -> None:
    seen = visit(forced_colors="active", theme=theme)
    page = seen.open("/_styles")
    seen.keep("forced-colours")
    expect(page.locator(".badge.bad").first).to_have_css("border-top-style", "solid")
    expect(page.locator(".badge.bad svg").first).to_be_visible()


def test_problem_is_shown_as_a_page_with_the_way_home(visit: Open) -> None:
    seen = visit(language="en")
    seen.expect("status of 404")
    page = seen.open("/_styles/nowhere")
    expect(page.get_by_role("heading", level=1)).to_have_text("There is no such page")
    expect(page.get_by_text("request.not-found")).to_be_visible()
    assert seen.axe() == []
    seen.keep("problem")
    page.get_by_role("link", name="To the start page").click()
    expect(page).to_have_url(f"{seen.origin}/_styles")
