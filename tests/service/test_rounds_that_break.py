# SPDX-License-Identifier: Apache-2.0
"""What services do by themselves: a round that breaks is told by readiness until one does not, and ends no others.

Credit's and the desk's rounds: `test_credit_rounds.py`, `test_desk_rounds.py`.
"""

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable, Coroutine, Iterator
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
from capture_rig import CaptureRig
from store_rig import Rig
from structlog.testing import capture_logs
from test_access_entries import City
from verifier_rig import Office

from chain.types import Network
from client.answers import ProvenBlock
from client.errors import TransportError
from client.follow import Cursor
from identity.api.verifier.recording import SlotRecorder
from identity.api.wallet import part as wallet
from service.app import Part
from service.errors import StorageError
from service.explorer import part as explorer
from service.index import LedgerTables, running
from service.index.running import RunningIndex
from service.settings import IndexSettings, StoreSettings
from service.store.engine import close_engine, make_engine
from tests.certified_ledger import make_genesis
from tests.shopper_rig import FoodLedger
from traceability.api import capture_runner, subscriber
from traceability.api.part import epcis_part
from traceability.api.regulator import discrepancies
from traceability.api.regulator import part as regulator
from traceability.api.shopper import part as shopper

DEFECT, AWAY = ZeroDivisionError("a defect"), TransportError("away", "ledger.down")


class Round:
    """Does what a test says, round by round, then nothing.

    Args:
        is_told: Whether readiness tells of a round that broke.
        outcomes: Of one round each; what is no exception is returned.
    """

    def __init__(self, is_told: Callable[[], bool], *outcomes: object) -> None:
        self.is_told = is_told
        self.outcomes = list(outcomes)
        self.told: list[bool] = []
        self.ended = asyncio.Event()

    async def __call__(self, *_arguments: object) -> Any:
        self.told.append(self.is_told())
        if not self.outcomes:
            self.ended.set()
            await asyncio.Event().wait()
        outcome = self.outcomes.pop(0)
        if isinstance(outcome, Exception):
            raise outcome
        return outcome

    @property
    def method(self) -> Callable[..., Awaitable[Any]]:
        """To stand in for one of a class."""
        return lambda *_arguments: self()

    async def watched(self, loop: Coroutine[Any, Any, None] | None = None) -> list[bool]:
        """Whether it was told at the beginning of each round; `loop` does the rounds."""
        task = None if loop is None else asyncio.ensure_future(loop)
        try:
            async with asyncio.timeout(10):
                await self.ended.wait()
        finally:
            if task is not None:
                task.cancel()
        return self.told


def checked(check: Callable[[], Awaitable[bool]]) -> Callable[[], bool]:
    """Whether a check fails; it waits for nothing, so that it can be asked where nobody may wait."""

    def fails() -> bool:
        asked = check().__await__()
        try:
            next(asked)
        except StopIteration as answer:
            return not answer.value
        raise AssertionError("a check that waits")

    return fails


@pytest.fixture(autouse=True)
def fast(monkeypatch: pytest.MonkeyPatch) -> None:
    """No round waits for the next."""
    for module, name in (
        (wallet, "ANCHOR_S"),
        (wallet, "RETRY_S"),
        (shopper, "ANCHOR_S"),
        (shopper, "RETRY_S"),
        (shopper, "FORGET_S"),
        (discrepancies, "AGAIN_S"),
        (capture_runner, "LOOK_S"),
        (subscriber, "LOOK_S"),
        (explorer, "NAMING_S"),
        (running, "RETRY_S"),
    ):
        monkeypatch.setattr(module, name, 0)


async def test_forgetting_of_scans_and_complaints_that_breaks_is_told(monkeypatch: pytest.MonkeyPatch) -> None:
    broken: set[str] = set()
    one = Round(lambda: shopper.FORGETTING in broken, None, DEFECT, None, None)
    kept: Any = SimpleNamespace(forget=object(), now=lambda: 0)
    monkeypatch.setattr(shopper, "run_in_threadpool", lambda *_arguments: one())
    # two each time: scans, then complaints
    assert await one.watched(shopper.forgetting(kept, kept, kept, broken)) == [False, False, True, True, False]


async def test_anchoring_of_the_shoppers_program_that_breaks_is_told(monkeypatch: pytest.MonkeyPatch) -> None:
    broken: set[str] = set()
    one = Round(lambda: shopper.ANCHORING in broken, "org-a", DEFECT, AWAY, "org-a", AWAY)
    monkeypatch.setattr(shopper, "anchor_code", one)
    evidences: Any = SimpleNamespace(organisations=set())
    told = await one.watched(shopper.anchoring(None, evidences, broken))  # type: ignore[arg-type]  # handed on alone
    assert told == [False, False, True, True, False, False]
    assert evidences.organisations == {"org-a"}


async def test_anchoring_of_the_wallets_program_that_breaks_is_told() -> None:
    broken: set[str] = set()
    one = Round(lambda: wallet.ANCHORING in broken, "org-a", DEFECT, AWAY, "org-a", AWAY)
    anchors: Any = set()
    told = await one.watched(wallet.anchoring(None, anchors, one, broken))  # type: ignore[arg-type]  # handed on alone
    assert told == [False, False, True, True, False, False]


async def test_lookups_of_discrepancies_that_break_are_told(monkeypatch: pytest.MonkeyPatch) -> None:
    broken: set[str] = set()
    one = Round(lambda: discrepancies.DISCREPANCIES in broken, True, DEFECT, AWAY, True, AWAY)
    monkeypatch.setattr(discrepancies, "gather", one)
    told = await one.watched(discrepancies.keep_up(None, broken))  # type: ignore[arg-type]  # handed on alone
    assert told == [False, False, True, True, False, False]


@pytest.fixture
def capture(sqlite_rig: Rig) -> Iterator[CaptureRig]:
    made = CaptureRig(sqlite_rig)
    yield made
    close_engine(made.engine)


async def test_looks_for_captured_events_that_break_are_told_and_made_again(
    capture: CaptureRig, monkeypatch: pytest.MonkeyPatch
) -> None:
    part = epcis_part(capture.context(), sign=capture.sign)
    one = Round(checked(part.checks["capture"]), [], DEFECT, StorageError("away"), [], StorageError("away"))
    monkeypatch.setattr(capture_runner.Runner, "_on_thread", one.method)
    app = capture.service(part)
    async with app.router.lifespan_context(app):
        assert await one.watched() == [False, False, True, True, False, False]


async def test_looks_at_subscriptions_that_break_are_told_and_made_again(
    capture: CaptureRig, monkeypatch: pytest.MonkeyPatch
) -> None:
    part = epcis_part(capture.context(), sign=capture.sign)
    one = Round(checked(part.checks["subscriptions"]), None, DEFECT, StorageError("away"), None, StorageError("away"))
    monkeypatch.setattr(subscriber.Subscriber, "turn", one.method)
    app = capture.service(part)
    async with app.router.lifespan_context(app):
        assert await one.watched() == [False, False, True, True, False, False]


async def test_rounds_of_access_entries_that_break_are_told_and_made_again(
    sqlite_rig: Rig, monkeypatch: pytest.MonkeyPatch
) -> None:
    city = City(sqlite_rig)
    recorder = city.recorder()
    one = Round(checked(recorder.is_whole), None, DEFECT, AWAY, None, AWAY)
    monkeypatch.setattr(SlotRecorder, "_tell", one.method)
    recorder.start()
    try:
        assert await one.watched() == [False, False, True, True, False, False]
    finally:
        await recorder.stop()
        await city.outbound.close()


async def test_verifier_says_which_of_its_rounds_is_not_well(sqlite_rig: Rig) -> None:
    async def is_whole() -> bool:
        return False

    async with Office(sqlite_rig).serving(checks={"recording": is_whole}) as bank:
        answer = await bank.http.get("/ready")
        assert answer.status_code == 503
        assert "verifier.recording" in answer.text
        assert "verifier.upkeep" not in answer.text


async def test_rounds_of_signers_names_that_break_are_told_and_made_again(tmp_path: Path) -> None:
    network: Any = SimpleNamespace(genesis=SimpleNamespace(network=bytes(32)))
    made = explorer.Explorer(network, IndexSettings(folder=str(tmp_path / "index")), None)  # type: ignore[arg-type]  # nothing is described
    one = Round(checked(explorer.explorer_part(made, []).checks["naming"]), 0, DEFECT, AWAY, 0, AWAY)
    made.ledger = SimpleNamespace(name_signers=one)  # type: ignore[assignment]  # all that is asked of it
    try:
        assert await one.watched(made._name_signers()) == [False, False, True, True, False, False]
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


async def failing(part: Part) -> list[str]:
    """The checks of a part that fail once it has started."""
    app: Any = SimpleNamespace(state=SimpleNamespace())
    assert part.start is not None
    assert part.stop is not None
    await part.start(app)
    try:
        await asyncio.sleep(0)  # its loops have begun
        return [name for name, check in part.checks.items() if not await check()]
    finally:
        await part.stop(app)


def breaks(name: str) -> Callable[..., Awaitable[None]]:
    """A loop that breaks at once."""

    async def loop(*arguments: Any) -> None:
        arguments[-1].add(name)

    return loop


@pytest.mark.parametrize("name", shopper.LOOPS)
async def test_readiness_names_what_broke_of_the_shoppers_pages(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, name: str
) -> None:
    for each in shopper.LOOPS:
        monkeypatch.setattr(shopper, each, breaks(name))
    food = FoodLedger(tmp_path)
    try:
        assert await failing(shopper.shopper_part(food.context(key=object()), food)) == [name]
    finally:
        food.close()


async def test_readiness_names_the_wallets_anchoring_that_broke(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(wallet, "anchoring", breaks(wallet.ANCHORING))

    async def anchor(_program: object) -> str:
        raise AssertionError("it is not asked")

    part = wallet.wallet_part(make_genesis(), bytes(32), "https://wallet.example.org", anchor=anchor)
    assert await failing(part) == [wallet.ANCHORING]


async def test_readiness_names_the_regulators_lookups_that_broke(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(regulator, "keep_up", breaks(discrepancies.DISCREPANCIES))
    context: Any = SimpleNamespace(door=SimpleNamespace(session=None))
    assert await failing(regulator.regulator_part(context)) == [discrepancies.DISCREPANCIES]
