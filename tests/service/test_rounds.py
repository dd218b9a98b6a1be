# SPDX-License-Identifier: Apache-2.0
"""What a service does by itself: a round that breaks is told by readiness until one does not, and ends no others.

First the rounds themselves, then those of each service: what is a defect for them, and what is nobody's.
"""

import asyncio
from collections.abc import AsyncIterator, Iterator
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
from capture_rig import CaptureRig
from rounds_rig import AWAY, DEFECT, Script
from store_rig import Rig
from structlog.testing import capture_logs
from test_access_entries import City
from verifier_rig import Office

from chain.errors import Refused
from chain.types import Network
from client.answers import ProvenBlock
from client.follow import Cursor
from identity.api.desk import card_status_part, upkeep
from identity.api.issuer import part as issuer
from identity.api.kiosk.part import kiosk_part
from identity.api.space import sealing_part
from identity.api.verifier import upkeep as verifier_upkeep
from identity.api.verifier.recording import SlotRecorder
from identity.api.wallet import part as wallet
from service import anchors
from service.app import Part, all_checks
from service.errors import ConfigError, StorageError
from service.explorer import part as explorer
from service.index import LedgerTables, running
from service.index.running import RunningIndex
from service.notices import part as notices
from service.rounds import Round
from service.settings import IndexSettings, StoreSettings
from service.store.engine import close_engine, make_engine
from tests.certified_ledger import make_genesis
from tests.shopper_rig import FoodLedger
from traceability.api import capture_runner, subscriber
from traceability.api.part import epcis_part
from traceability.api.regulator import discrepancies
from traceability.api.regulator import part as regulator
from traceability.api.shopper import part as shopper

FULL = StorageError("the disk is full")


def round_of(part: Part, name: str) -> Round:
    """One of a part's."""
    return next(one for one in part.rounds if one.name == name)


@pytest.fixture(autouse=True)
def fast(monkeypatch: pytest.MonkeyPatch) -> None:
    """No round waits for the next."""
    for module, name in (
        (anchors, "LOOK_S"),
        (anchors, "RETRY_S"),
        (shopper, "FORGET_S"),
        (shopper, "RETRY_S"),
        (discrepancies, "AGAIN_S"),
        (capture_runner, "LOOK_S"),
        (subscriber, "LOOK_S"),
        (explorer, "NAMING_S"),
        (running, "RETRY_S"),
        (issuer, "TICK_S"),
        (sealing_part, "TICK_S"),
        (card_status_part, "TICK_S"),
        (verifier_upkeep, "TICK_S"),
        (notices, "ROUND_SECONDS"),
    ):
        monkeypatch.setattr(module, name, 0)


async def test_round_that_breaks_is_told_until_one_ends_well_and_what_is_away_is_no_defect() -> None:
    script = Script(None, DEFECT, AWAY, None, DEFECT, None)
    assert await script.watched(Round("some", script, 0)) == [True, True, False, True, True, False, True]


async def test_failure_is_told_too_where_a_check_is_to_tell_of_it() -> None:
    script = Script(None, DEFECT, AWAY, None)
    assert await script.watched(Round("some", script, 0, tells_waiting=True)) == [True, True, False, False, True]


async def test_failure_that_is_not_named_is_a_defect() -> None:
    script = Script(FULL, AWAY)
    assert await script.watched(Round("some", script, 0, (StorageError,))) == [True, True, False]


async def test_what_is_away_is_logged_when_it_begins_and_when_it_is_over_and_each_defect_with_its_cause() -> None:
    script = Script(AWAY, AWAY, AWAY, None, None, DEFECT, DEFECT, None)
    await script.watched(Round("some", script, 0))
    lines = script.logged
    told = [(line["event"], line["round"]) for line in lines]
    assert told == [(f"round.{word}", "some") for word in ("waits", "goes-on", "broke", "broke", "goes-on")]
    assert lines[0]["reason"] == "ledger.down"
    assert lines[2]["exc_info"]


async def test_values_of_a_traceback_are_not_logged_where_they_may_be_personal() -> None:
    script = Script(ZeroDivisionError("13800000000"))
    await script.watched(Round("some", script, 0, is_private=True))
    assert [(line["event"], line["error"]) for line in script.logged] == [("round.broke", "ZeroDivisionError")]
    assert "exc_info" not in script.logged[0]


@pytest.mark.parametrize(
    ("outcome", "pause_s"),
    [(None, 5), (2.0, 2.0), (0, 0), (AWAY, 7), (DEFECT, 7)],
    ids=["usual", "own", "0", "away", "broke"],
)
async def test_next_round_waits_as_long_as_is_stated(
    monkeypatch: pytest.MonkeyPatch, outcome: object, pause_s: float
) -> None:
    pauses: list[float] = []

    async def sleep(seconds: float) -> None:
        pauses.append(seconds)

    monkeypatch.setattr("service.rounds.asyncio.sleep", sleep)
    script = Script(outcome)
    await script.watched(Round("some", script, 5, retry_s=7))
    assert pauses == [pause_s]


async def test_round_that_is_stopped_is_cut_off_and_one_that_was_not_begun_has_nothing_to_end() -> None:
    begun, ended = asyncio.Event(), asyncio.Event()

    async def once() -> None:
        begun.set()
        try:
            await asyncio.Event().wait()
        finally:
            ended.set()

    one = Round("some", once, 0)
    await one.stop()
    one.start()
    async with asyncio.timeout(10):
        await begun.wait()
    await one.stop()
    assert ended.is_set()
    assert await one.holds()


async def test_round_that_something_else_cut_off_is_told() -> None:
    async def once() -> None:
        raise asyncio.CancelledError

    one = Round("some", once, 0)
    one.start()
    await asyncio.sleep(0.05)  # it needs one turn of the loop
    assert not await one.holds()
    await one.stop()
    assert await one.holds()


async def test_forgetting_of_scans_and_complaints_that_breaks_is_told(monkeypatch: pytest.MonkeyPatch) -> None:
    script = Script(None, DEFECT, None, None, FULL)
    kept: Any = SimpleNamespace(forget=object(), now=lambda: 0)
    monkeypatch.setattr(shopper, "run_in_threadpool", lambda *_arguments: script())
    # two each time: scans, then complaints
    told = await script.watched(shopper.forgetting(kept, kept, kept))
    assert told == [True, True, False, False, True, True]


async def test_anchoring_of_a_page_s_program_that_breaks_is_told_and_a_refusal_is_not() -> None:
    script = Script(None, DEFECT, AWAY, None, AWAY, Refused("no", "role.missing"), ConfigError("no key"))
    told = await script.watched(anchors.anchoring(script))
    assert told == [True, True, False, True, True, True, True, True]


async def test_shoppers_pages_anchor_by_a_key_alone_and_remember_whose_it_is(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    script = Script("org-a")
    monkeypatch.setattr(shopper, "anchor_code", script)
    food = FoodLedger(tmp_path)
    try:
        assert sorted(all_checks(shopper.shopper_part(food.context(key=object()), food))) == ["anchoring", "forgetting"]
        assert sorted(all_checks(shopper.shopper_part(food.context(), food))) == ["forgetting"]
        part = shopper.shopper_part(food.context(key=object()), food)
        assert await script.watched(round_of(part, "anchoring")) == [True, True]
    finally:
        food.close()


async def test_wallets_program_is_anchored_where_the_service_can() -> None:
    script = Script("org-a", DEFECT)

    def part(**named: Any) -> Part:
        return wallet.wallet_part(make_genesis(), bytes(32), "https://wallet.example.org", **named)

    assert not part().rounds
    assert await script.watched(round_of(part(anchor=script), "anchoring")) == [True, True, False]


async def test_lookups_of_discrepancies_that_break_are_told(monkeypatch: pytest.MonkeyPatch) -> None:
    script = Script(True, DEFECT, AWAY, True, FULL)
    monkeypatch.setattr(discrepancies, "gather", script)
    context: Any = SimpleNamespace(door=SimpleNamespace(session=None))
    part = regulator.regulator_part(context)
    assert part.start is not None
    await part.start(SimpleNamespace(state=SimpleNamespace()))  # type: ignore[arg-type]  # all that it sets
    told = await script.watched(round_of(part, "discrepancies"))
    assert told == [True, True, False, True, True, True]


@pytest.fixture
def capture(sqlite_rig: Rig) -> Iterator[CaptureRig]:
    made = CaptureRig(sqlite_rig)
    yield made
    close_engine(made.engine)


@pytest.mark.parametrize(
    ("name", "owner", "called", "quiet"),
    [("capture", capture_runner.Runner, "_on_thread", []), ("subscriptions", subscriber.Subscriber, "begin", None)],
    ids=["capture", "subscriptions"],
)
async def test_looks_for_events_and_subscriptions_that_break_are_told_and_made_again(
    capture: CaptureRig, monkeypatch: pytest.MonkeyPatch, name: str, owner: type, called: str, quiet: object
) -> None:
    script = Script(quiet, DEFECT, FULL, quiet, FULL)
    monkeypatch.setattr(owner, called, script.method)
    part = epcis_part(capture.context(), sign=capture.sign)
    told = await script.watched(round_of(part, name))
    assert told == [True, True, False, True, True, True]
    assert part.stop is not None
    await part.stop(capture.service(part))


async def test_rounds_of_access_entries_that_break_are_told_and_made_again(
    sqlite_rig: Rig, monkeypatch: pytest.MonkeyPatch
) -> None:
    city = City(sqlite_rig)
    recorder = city.recorder()
    script = Script(None, DEFECT, AWAY, None, FULL)
    monkeypatch.setattr(SlotRecorder, "_tell", script.method)
    try:
        assert await script.watched(recorder.round) == [True, True, False, True, True, True]
    finally:
        await recorder.stop()
        await city.outbound.close()


async def test_verifier_says_which_of_its_rounds_is_not_well(sqlite_rig: Rig, monkeypatch: pytest.MonkeyPatch) -> None:
    async def breaks() -> None:
        raise DEFECT

    monkeypatch.setattr(verifier_upkeep, "TICK_S", 1.0)
    async with Office(sqlite_rig).serving(rounds=[Round("recording", breaks, 1)]) as bank:
        answer = await bank.http.get("/ready")
        assert answer.status_code == 503
        assert "verifier.recording" in answer.text
        assert "verifier.upkeep" not in answer.text
        assert "verifier.notices" not in answer.text


@pytest.mark.parametrize("name", ["upkeep", "notices"])
async def test_verifiers_upkeep_that_fails_is_told(sqlite_rig: Rig, monkeypatch: pytest.MonkeyPatch, name: str) -> None:
    office = Office(sqlite_rig)
    script = Script(None, DEFECT, FULL, None)
    monkeypatch.setattr(verifier_upkeep, "tick", script)
    monkeypatch.setattr(verifier_upkeep.Notices, "begin", script.method)
    kept = verifier_upkeep.Upkeep(office.verifier)
    kept._forget_at = float("inf")
    watched = next(one for one in kept.rounds if one.name == name)
    assert await script.watched(watched) == [True, True, False, False, True]


async def test_delivery_of_notices_that_fails_is_told_and_goes_on(
    sqlite_rig: Rig, monkeypatch: pytest.MonkeyPatch
) -> None:
    script = Script(0, DEFECT, FULL, 1)
    monkeypatch.setattr(notices.Courier, "deliver", script.method)
    part = notices.notices_part(sqlite_rig.open(sqlite_rig.settings()), [])
    app: Any = SimpleNamespace(state=SimpleNamespace(metrics=SimpleNamespace(registry=None)))
    assert part.start is not None
    await part.start(app)
    assert await script.watched(round_of(part, "rounds")) == [True, True, False, False, True]


async def test_tick_of_lists_that_fails_is_told_and_the_next_one_is_made(monkeypatch: pytest.MonkeyPatch) -> None:
    script = Script(None, DEFECT, AWAY, None, Refused("no"), FULL)
    monkeypatch.setattr(issuer, "tick", script)
    part = issuer.issuer_part(None, None, "https://issuer.example.org", source=None, anchor=None)  # type: ignore[arg-type]  # handed on alone
    assert await script.watched(round_of(part, "ticks")) == [True, True, False, False, True, False, False]


async def test_kiosk_that_can_not_look_is_told_and_looks_again() -> None:
    script = Script(None, DEFECT, None)
    kiosk: Any = SimpleNamespace(tick=script, is_serving=True)
    assert await script.watched(kiosk_part(kiosk, tick_ms=1).rounds[0]) == [True, True, False, True]


async def test_rounds_of_the_desk_that_break_are_told(monkeypatch: pytest.MonkeyPatch) -> None:
    script = Script(DEFECT, AWAY, None, AWAY, None)
    monkeypatch.setattr(upkeep, "send_again", script)
    monkeypatch.setattr(upkeep, "ROUND_MS", 1)
    for name in ("follow_all", "tidy"):
        monkeypatch.setattr(upkeep, name, lambda _desk: {})

    async def nothing(_desk: object) -> None:
        return

    monkeypatch.setattr(upkeep, "stop_all", nothing)
    clock = iter(range(10**9))
    desk: Any = SimpleNamespace(now=lambda: next(clock))
    told = await script.watched(upkeep.following(lambda: desk))
    assert told == [True, False, True, True, True, True]


async def test_ticks_of_the_desk_s_accesses_that_break_are_told(monkeypatch: pytest.MonkeyPatch) -> None:
    script = Script(DEFECT, AWAY, None)
    monkeypatch.setattr(upkeep, "tick", script)
    clock = iter(range(10**9))
    desk: Any = SimpleNamespace(now=lambda: next(clock))
    assert await script.watched(upkeep.writing(lambda: desk, 1)) == [True, False, True, True]


async def test_accesses_go_out_at_full_spans_of_the_clock_alone(monkeypatch: pytest.MonkeyPatch) -> None:
    now_ms = 1_500
    ticks: list[int] = []

    async def sleep(_seconds: float) -> None:
        nonlocal now_ms
        now_ms += 100

    async def tick(_desk: object) -> None:
        ticks.append(now_ms)
        if len(ticks) == 3:
            raise asyncio.CancelledError

    monkeypatch.setattr("identity.api.desk.upkeep.asyncio.sleep", sleep)
    monkeypatch.setattr(upkeep, "tick", tick)
    desk: Any = SimpleNamespace(now=lambda: now_ms)
    with pytest.raises(asyncio.CancelledError):
        await upkeep.writing(lambda: desk, 1_000)._run()
    assert ticks == [2_000, 3_000, 4_000]


async def test_rounds_of_signers_names_that_break_are_told_and_made_again(tmp_path: Path) -> None:
    network: Any = SimpleNamespace(genesis=SimpleNamespace(network=bytes(32)))
    made = explorer.Explorer(network, IndexSettings(folder=str(tmp_path / "index")), None)  # type: ignore[arg-type]  # nothing is described
    script = Script(0, DEFECT, AWAY, 1, FULL)
    made.ledger = SimpleNamespace(name_signers=script)  # type: ignore[assignment]  # all that is asked of it
    try:
        told = await script.watched(round_of(explorer.explorer_part(made, []), "naming"))
        assert told == [True, True, False, True, True, True]
    finally:
        close_engine(made.index.engine)


async def test_index_that_breaks_says_so_and_goes_on(tmp_path: Path) -> None:
    class Source:
        """Breaks twice, then has no block for now."""

        network = Network(bytes(32))
        asked = 0
        waits = asyncio.Event()

        async def cursor_at(self, _height: int = 0) -> Cursor:
            raise AssertionError("it begins with the first block")

        async def blocks(self, _cursor: Cursor | None = None) -> AsyncIterator[ProvenBlock]:
            self.asked += 1
            if self.asked < 3:
                raise DEFECT
            self.waits.set()
            await asyncio.Event().wait()
            yield  # type: ignore[misc]  # never

    settings = StoreSettings(url=f"sqlite:///{tmp_path / 'index.sqlite'}")
    source, index = Source(), RunningIndex(make_engine(settings), [LedgerTables()])
    with capture_logs() as lines:
        await index.start(source)
        try:
            async with asyncio.timeout(10):
                await source.waits.wait()
        finally:
            await index.stop()
    assert [line["event"] for line in lines] == ["index.broke"] * 2
