# SPDX-License-Identifier: Apache-2.0
"""How many people a second a batch makes cards for: `python -m benchmarks.desk` prints one JSON object.

Emulated cards in this process, a store on SQLite with synced commits, and everything that a batch does for one person:
the request, the blank, four keys made and certified, the journal, the record. Aim: at least 20 people a second. On a
busy machine the processor's time per person says what an idle core would do.
"""

import argparse
import json
import tempfile
import time
from pathlib import Path

from benchmarks.machine import hashes_per_s
from cli.scenes.residents import Resident, residents
from identity.api.desk import batch, stock
from identity.api.desk.base import DeskContext, Ledger
from identity.api.desk.cards_shop import trial_shop
from identity.api.desk.part import DESK_SITE
from identity.api.desk.persons import Secrets, keep_secrets
from identity.api.desk.states import PersonState
from identity.api.desk.tables import DeskPerson
from identity.cards.emulator import EmulatedCard
from identity.cards.making import Journal, PersonalisedCard
from service.settings import RetentionSettings, StoreSettings
from service.sign_in.roles import Role
from service.sign_in.sessions import Officer
from service.store import Store, new_id, open_store
from service.store.replays import unix_ms

PEOPLE = 200
ORGANISATION = "registrar"
SEED = 7


class _NoLedger:
    """Making cards asks nothing of the ledger; binding their keys does, in acts of forty."""


def run(people: int = PEOPLE) -> dict[str, float]:
    """Measure a batch.

    Args:
        people: How many get cards.
    """
    with tempfile.TemporaryDirectory() as folder:
        place = Path(folder)
        settings = StoreSettings(folder=str(place / "data"), keys=str(place / "keys"), allow_plain=True)
        store = open_store(settings, {})
        try:
            return _measured(store, place, people)
        finally:
            store.close()


def _measured(store: Store, place: Path, people: int) -> dict[str, float]:
    ledger: Ledger = _NoLedger()  # type: ignore[assignment]  # nothing of it is used
    desk = DeskContext(store, DESK_SITE, ledger, None, None, RetentionSettings(), unix_ms)
    ids = [new_id() for _ in range(4)]
    officer = Officer(ids[0], ids[1], "", Role.CLERK, ORGANISATION, ids[2], ids[3], unix_ms(), bytes(32))
    known = list(residents(people, SEED))
    for one in known:
        _register(desk, one)
    _stock(store, people)
    shop = trial_shop(place / "tray", store.secret("desk/trial-cards"), unix_ms())
    chips: dict[str, EmulatedCard] = {}

    def personalise(journal: Journal, serial: str) -> PersonalisedCard:
        return shop.personalise(desk, chips.setdefault(serial, EmulatedCard()), journal)

    before = hashes_per_s()
    lines = "".join(f"{one.name},{one.id_number}\n" for one in known)
    began = time.perf_counter()
    batch_id = batch.take(desk, officer, f"name,number\n{lines}".encode())
    checked = time.perf_counter()
    used = time.process_time()
    made = batch.run(desk, officer, batch_id, personalise)
    ended, used = time.perf_counter(), time.process_time() - used
    assert made.done == people, made
    return {
        "people": people,
        "checked_per_s": people / (checked - began),
        "made_per_s": people / (ended - checked),
        "made_per_processor_s": people / used,
        "hashes_per_s": before,
        "hashes_per_s_after": hashes_per_s(),
    }


def _register(desk: DeskContext, one: Resident) -> None:
    people = desk.store.people
    with desk.store.write() as session:
        row = DeskPerson(
            person_id=people.add(session),
            organisation=ORGANISATION,
            state=PersonState.ACTIVE,
            created_ms=1,
            changed_ms=1,
        )
        people.seal(session, row, DeskPerson.name, one.name)
        people.seal(session, row, DeskPerson.number, one.id_number)
        keep_secrets(desk, session, row, Secrets.new())


def _stock(store: Store, count: int) -> None:
    with store.write() as session:
        count_id = stock.receive(store, session, "a" * 32, "LS-1", "CC26-000001", count, 1)
        for who in ("a" * 32, "b" * 32):
            stock.enter_figure(store, session, who, count_id, count, 1)


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--people", type=int, default=PEOPLE)
    print(json.dumps(run(parser.parse_args().people), indent=1))
