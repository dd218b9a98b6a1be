# SPDX-License-Identifier: Apache-2.0
"""A node dies at each kind of durable write, or the write fails, and the node goes on by itself."""

import asyncio
import random
import threading
from collections.abc import Mapping
from itertools import product
from pathlib import Path

import pytest

from chain.pb import ledger_pb2 as pb
from tests.crash.drill import COMMON, FIRST_LIFE, OF_FILES, Drill
from tests.crash.faulty import Faults, load_synced, lose_unsynced, newest_log
from tests.crash.load import Clients
from tests.crash.names import COMPACTION, NAMES, RENAMES, names_of
from tests.crash.plans import Act, Plan
from tests.crash.rig import Network

pytestmark = [pytest.mark.network, pytest.mark.timeout(240)]

NULLIFYING = ("journal.vote-nullify", "journal.certificate-nullify")
"""Written only while a leader is missing."""
RIGHT_AFTER = ("journal.vote-notarize", "journal.vote-finalize", "journal.checkpoint-signature", "ledger.commit")
"""What must never be forgotten once it was said; here a write also tears, fails, and loses power."""


async def _die(network: Network, index: int, plan: Plan) -> None:
    """A node lives until its plan ends it, and is started again."""
    if index in network.running():
        await network.kill(index)
    await network.start(index, [plan])
    assert await network.ended(index) == plan.status, f"{plan}: {network.last_words(index)}"
    await network.start(index)


async def _die_in_turns(network: Network, plans: list[Plan], indices: tuple[int, ...]) -> None:
    """Each node has its share of the plans, one life after the other, all nodes at the same time."""

    async def lives(at: int) -> None:
        for plan in plans[at :: len(indices)]:
            await _die(network, indices[at], plan)

    await asyncio.gather(*(lives(at) for at in range(len(indices))))


async def _finish(network: Network, clients: Clients) -> None:
    """Everything is there, on every node."""
    drill = Drill(network, clients, seed=0)
    assert await clients.more(1, 30)
    tally = await drill.finish()
    assert not tally.problems


async def test_node_that_dies_at_each_write_of_its_first_start_starts_by_itself(
    network: Network, clients: Clients
) -> None:
    plans = [
        Plan(act, name, 1, "7" if act in {Act.TEAR, Act.CUT_POWER} else "")
        for name in FIRST_LIFE
        for act in (OF_FILES if name.startswith("mark") else tuple(Act))
    ]

    async def lives(index: int) -> None:
        for plan in plans[index::4]:
            await network.start(index, [plan])
            assert await network.ended(index) == plan.status, f"{plan}: {network.last_words(index)}"
            if plan.act not in {Act.KILL_BEFORE, Act.FAIL}:  # those leave what an earlier plan left
                await network.start(index)
                await network.until(index, lambda _: True)
                await network.kill(index)
            network.forget(index)

    await asyncio.gather(*(lives(index) for index in range(4)))
    await asyncio.gather(*(network.start(index) for index in range(4)))
    clients.start()
    await _finish(network, clients)


async def test_nodes_that_die_at_each_write_of_their_work_lose_nothing(network: Network, clients: Clients) -> None:
    await asyncio.gather(*(network.start(index) for index in range(4)))
    await network.until_certified(1, range(4))
    clients.start()
    often = [name for name in COMMON if name not in NULLIFYING]
    plans = [Plan(Act.KILL_AFTER, name, 2) for name in often]
    plans += [Plan(Act.KILL_BEFORE, name, 2) for name in RIGHT_AFTER]
    plans += [Plan(act, name, 2, "11") for name, act in product(RIGHT_AFTER, (Act.TEAR, Act.CUT_POWER))]
    plans += [Plan(Act.FAIL, name, 2, "EIO") for name in RIGHT_AFTER]
    plans += [Plan(Act.FAIL_PERSISTED, name, 2, "ENOSPC") for name in RIGHT_AFTER]
    await _die_in_turns(network, plans, (0, 1, 2, 3))
    await _finish(network, clients)


async def test_nodes_that_die_giving_up_on_a_missing_leader_lose_nothing(network: Network, clients: Clients) -> None:
    await asyncio.gather(*(network.start(index) for index in range(4)))
    await network.until_certified(1, range(4))
    clients.start()
    await network.kill(3)
    plans = [Plan(act, name) for name, act in product(NULLIFYING, (Act.KILL_BEFORE, Act.KILL_AFTER, Act.FAIL))]
    await _die_in_turns(network, plans, (0, 1, 2))
    await network.start(3)
    await _finish(network, clients)


def test_every_record_of_the_journal_and_the_ledger_has_a_name_of_its_own() -> None:
    numbers = bytes(16)
    batches: list[tuple[str, list[bytes], list[bytes]]] = [
        ("journal", [b"\x00mark", b"\x00owner"], []),
        *[("journal", [letter + numbers + bytes([kind])], []) for letter in (b"v", b"c") for kind in (1, 2, 3)],
        *[("journal", [letter], []) for letter in (b"b", b"t", b"k", b"n", b"e", b"m")],
        ("journal", [], [b"v"]),
        ("ledger", [b"MF", b"MN", b"S"], []),
        ("ledger", [b"MT", b"B", b"E"], [b"R"]),
        ("ledger", [b"Q"], []),
        ("ledger", [b"K", b"Q"], []),
        ("ledger", [b"F"], []),
        ("ledger", [b"Sp"], []),
        ("ledger", [b"MH"], [b"B", b"E"]),
        ("ledger", [b"MH", b"MF"], []),
        ("ledger.new", [b"MI"], []),
        ("ledger.new", [b"Sv", b"E"], []),
        ("ledger.new", [b"MT", b"MN"], [b"MI"]),
    ]
    assert {pb.KIND_NOTARIZE, pb.KIND_NULLIFY, pb.KIND_FINALIZE} == {1, 2, 3}
    named: Mapping[frozenset[str], int] = {names_of(*batch): at for at, batch in enumerate(batches)}
    assert len(named) == len(batches)
    assert frozenset().union(*named) | {"mark.file", "mark.folder", COMPACTION, *RENAMES.values()} == set(NAMES)


@pytest.mark.parametrize("text", ["kill@ledger.commit@1", "kill-before@ledger@1", "kill-before@ledger.commit@0"])
def test_plan_that_names_no_act_or_write_is_refused(text: str) -> None:
    with pytest.raises(ValueError, match=r"plan|Act"):
        Plan.parse(text)
    plan = Plan(Act.FAIL, "ledger.commit", 3, "ENOSPC")
    assert Plan.parse(str(plan)) == plan


def test_power_cut_before_a_process_has_opened_anything_takes_nothing_that_an_earlier_life_synced(
    tmp_path: Path,
) -> None:
    log, note = tmp_path / "000003.log", tmp_path / "synced"
    log.write_bytes(bytes(100))
    note.write_text(f"{log}\t60\n{tmp_path / '000001.log'}\t70\n{log}\t80\n{log}\t9")
    later = Faults([], note)
    assert later.sizes == load_synced(note) == {log: 80}
    for seed in range(20):
        lose_unsynced([tmp_path], load_synced(note), random.Random(seed))
        assert log.stat().st_size >= 80
    assert log.stat().st_size == 80, "what was not synced is lost"


def test_newest_log_is_found_while_the_database_replaces_it_all_the_time(tmp_path: Path) -> None:
    turns, ended = 3_000, threading.Event()
    (tmp_path / "000001.log").write_bytes(b"1")

    def replace() -> None:
        for turn in range(2, turns):
            (tmp_path / f"{turn:06}.log").write_bytes(b"1")
            (tmp_path / f"{turn - 1:06}.log").unlink()
        ended.set()

    thread = threading.Thread(target=replace)
    thread.start()
    found = []
    while not ended.is_set():
        found.append(newest_log(tmp_path)[0].name)
    thread.join()
    assert found == sorted(found)
    assert newest_log(tmp_path) == (tmp_path / f"{turns - 1:06}.log", 1)


def test_what_was_synced_before_another_thread_had_a_new_log_begun_is_not_lost(tmp_path: Path) -> None:
    before, newest = tmp_path / "000003.log", tmp_path / "000005.log"
    before.write_bytes(bytes(100))
    newest.write_bytes(bytes(10))
    faults = Faults([], tmp_path / "synced")
    faults.synced(tmp_path, before)
    assert faults.sizes == load_synced(tmp_path / "synced") == {before: 100, newest: 10}
    before.unlink()
    newest.write_bytes(bytes(30))
    faults.synced(tmp_path, before)
    assert faults.sizes[newest] == 30
