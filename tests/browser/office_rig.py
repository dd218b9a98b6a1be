# SPDX-License-Identifier: Apache-2.0
"""The office service on a store of its own, served to real browsers."""

from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path

from visiting import Visit, serve

from service.app import Part
from service.settings import StoreSettings, local_address
from service.shell import shell_part
from service.sign_in.office import Office
from service.sign_in.part import OFFICE_SITE, sign_in_part
from service.sign_in.staff_cards import StaffCards
from service.store import Store, open_store

More = Callable[[Store], Sequence[Part]]


@contextmanager
def served_office(
    folder: Path, more: More = lambda _store: (), *, port: int = 0, cards: StaffCards | None = None
) -> Iterator[Office]:
    """Serve the office on a fresh store; its address is where browsers find it."""
    settings = StoreSettings(folder=str(folder / "data"), keys=str(folder / "keys"), allow_plain=True)
    store = open_store(settings, {})
    unknown = local_address("office", "127.0.0.1:1")
    office = [Office.of(store, unknown)]
    part = sign_in_part(store, unknown, OFFICE_SITE)

    async def start(app: object) -> None:
        office[0] = Office.of(store, app.state.address, cards=cards)  # type: ignore[attr-defined]  # the port is known only now
        app.state.office = office[0]  # type: ignore[attr-defined]

    placed = Part("place", start=start)
    try:
        with serve([shell_part(OFFICE_SITE), part, placed, *more(store)], "office", port):
            yield office[0]
    finally:
        store.close()


def join(visit: Visit, link: str, passkey: str) -> None:
    """Accept an invitation with the browser's authenticator."""
    visit.expect("pubKeyCredParams")  # ES256 alone is meant: the ledger knows no other
    visit.open(link.removeprefix(visit.origin))
    visit.page.locator("[data-invited]").wait_for()
    visit.page.fill("#name", passkey)
    visit.page.click("button[type=submit]:visible >> nth=-1")
    visit.page.wait_for_url("**/passkeys")
