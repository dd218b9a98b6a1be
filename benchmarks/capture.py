# SPDX-License-Identifier: Apache-2.0
"""How fast events are captured over REST: `python -m benchmarks.capture [--documents N]` prints one JSON object.

Four validators and the service of food records, each a process of its own on this machine, beside this one, which
sends. Eight farms send documents of 400 events (200 declared lots, 200 shipments of them) as fast as they are taken;
then it is waited until all are certified. The ratio says how much of the state tree's own rate the events' writes use,
measured in the same run.
"""

import argparse
import asyncio
import json
import os
import tempfile
from pathlib import Path
from time import monotonic
from typing import Any, Final

import httpx

from benchmarks.machine import hashes_per_s
from benchmarks.tree import run as run_tree
from cli.devnet.network import bring_up
from cli.devnet.process import Identity, cpu_seconds
from cli.scenes.admitting import office_seed
from cli.scenes.food_people import FoodPeople, admit_food_people, trader_seed
from cli.scenes.serving import end_services, serve
from cli.scenes.stage import Stage
from node.keys import Algorithm, Purpose, generate_key, save_key
from service.settings import StoreSettings
from service.store import open_store
from service.store.replays import unix_ms
from traceability.api import clients, tables  # noqa: F401 - the store has its tables
from traceability.season import CONTEXT
from traceability.season_people import VEGETABLES, party

FARMS: Final = 8
EVENTS_PER_DOCUMENT: Final = 400
WRITES_PER_EVENT: Final = 3.5
"""Declared: the event, the lot, its holder's part. Shipped: those, and what is on its way."""
TREE_KEYS: Final = 100_000
POLL_S: Final = 0.25
STEM: Final = "https://id.gs1.org/"


def document(farm: str, number: int) -> dict[str, Any]:
    """Lots of one farm, declared and shipped."""
    events = [_event(farm, number, index) for index in range(EVENTS_PER_DOCUMENT)]
    return {
        "@context": CONTEXT,
        "type": "EPCISDocument",
        "schemaVersion": "2.0",
        "creationDate": "2026-07-01T00:00:00Z",
        "epcisBody": {"eventList": events},
    }


def _event(farm: str, number: int, index: int) -> dict[str, Any]:
    lot = f"{STEM}01/{VEGETABLES[0].gtin}/10/{farm[8:12]}-{number}-{index // 2}"
    event: dict[str, Any] = {
        "type": "ObjectEvent",
        "eventID": f"urn:zhixin-bench:{farm}:{number}:{index}",
        "eventTime": "2026-07-01T06:00:00.000+08:00",
        "eventTimeZoneOffset": "+08:00",
        "quantityList": [{"epcClass": lot, "quantity": 100, "uom": "KGM"}],
    }
    if index % 2 == 0:
        return event | {"action": "ADD", "bizStep": "commissioning", "ilmd": {"fs:variety": "四九", "fs:plot": index}}
    ends = {
        "sourceList": [{"type": "possessing_party", "source": f"{STEM}417/{farm}"}],
        "destinationList": [{"type": "possessing_party", "destination": f"{STEM}417/{party('market', 0)}"}],
    }
    return event | {"action": "OBSERVE", "bizStep": "shipping", "disposition": "in_transit", **ends}


async def measure(root: Path, documents: int) -> dict[str, float]:
    """Start everything, send, wait, and end everything.

    Args:
        root: An empty folder.
        documents: How many each farm sends.
    """
    network = await bring_up(root, validators=4, base_port=None)
    try:
        stage = Stage(network, root / "capture")
        stage.folder.mkdir()
        farms = [party("farm", index) for index in range(FARMS)]
        async with network.home.session() as session:
            people = await admit_food_people(stage, session, [*farms, party("market", 0)])
            keys = set_up(stage, session.network, people, farms)
        served = serve(stage, "trace", 8806, service_settings(stage.folder.resolve()))
        await served.ready()
        ready = {farm: [json.dumps(document(farm, number)) for number in range(documents)] for farm in farms}
        async with httpx.AsyncClient(base_url=served.origin, timeout=120) as web:
            nodes = [one for name in network.names if (one := network.identity(name)) is not None]
            before = _spent(nodes), _spent([served.identity])
            started = monotonic()
            sent = await asyncio.gather(*(_send(web, keys[farm], ready[farm]) for farm in farms))
            accepted_s = monotonic() - started
            recorded = await asyncio.gather(*(_wait(web, keys[farm], sent[index]) for index, farm in enumerate(farms)))
            certified_s = monotonic() - started
            used_s = _spent(nodes) - before[0], _spent([served.identity]) - before[1]
        events = FARMS * documents * EVENTS_PER_DOCUMENT
        assert sum(recorded) == events, (sum(recorded), events)
    finally:
        end_services(root)
        network.stop(network.names)
    return {
        "events": events,
        "accepted_per_s": round(events / accepted_s),
        "certified_per_s": round(events / certified_s),
        "writes_per_event": WRITES_PER_EVENT,
        "service_cpu_ms_per_event": round(used_s[1] / events * 1000, 2),
        "validator_cpu_ms_per_event": round(used_s[0] / events * 1000 / len(nodes), 2),
    }


def _spent(processes: list[Identity]) -> float:
    """Processor time of processes that run, in seconds: it can be compared where a machine is busy."""
    found = [cpu_seconds(one) for one in processes]
    assert None not in found, "a process ended"
    return sum(one for one in found if one is not None)


def set_up(stage: Stage, network: Any, people: FoodPeople, farms: list[str]) -> dict[str, str]:
    """The service's key, the farms' keys beside it, and a program's key for each farm."""
    for farm in farms:
        _save(stage.folder / "traders" / f"{farm}.key", trader_seed(network, farm))
    _save(stage.folder / "service.key", office_seed(network, people.service.id))
    settings = StoreSettings(folder=str(stage.folder / "store"), keys=str(stage.folder / "keys"), allow_plain=True)
    store = open_store(settings, {})
    try:
        return {farm: clients.add(store, farm, unix_ms())[1] for farm in farms}
    finally:
        store.close()


def _save(path: Path, seed: bytes) -> None:
    save_key(path, generate_key(Purpose.ORGANISATION, Algorithm.ED25519, seed), None)


def service_settings(folder: Path) -> str:
    """Settings of the service, as TOML, for what `set_up` left in a folder."""
    return "\n".join(
        [
            f'[store]\nfolder = "{folder / "store"}"\nkeys = "{folder / "keys"}"\nallow_plain = true',
            f'[signing]\nsubmit_key = "{folder / "service.key"}"\nallow_plain = true',
            f'[trace]\ntrader_keys = "{folder / "traders"}"\nallow_plain = true',
            "[limits]\naddress_per_second = 1000\naddress_burst = 10000",
        ]
    )


async def _send(web: httpx.AsyncClient, key: str, documents: list[str]) -> list[str]:
    """Send a farm's documents one after the other; where their jobs are."""
    headers = {
        "authorization": f"Bearer {key}",
        "content-type": "application/ld+json",
        "gs1-capture-error-behaviour": "proceed",
    }
    places = []
    for one in documents:
        answer = await web.post("/epcis/capture", content=one, headers=headers)
        assert answer.status_code == httpx.codes.ACCEPTED, answer.text
        places.append(answer.headers["location"])
    return places


async def _wait(web: httpx.AsyncClient, key: str, places: list[str]) -> int:
    """Wait for a farm's jobs; how many events are recorded."""
    recorded = 0
    for place in places:
        job: dict[str, Any] = {"running": True}
        while job["running"]:
            await asyncio.sleep(POLL_S)
            job = (await web.get(place, headers={"authorization": f"Bearer {key}"})).json()
        assert job["success"], job["errors"][:3]
        recorded += job["zhixin:recorded"]
    return recorded


def run(documents: int = 5) -> dict[str, float]:
    """Measure, and say what the state tree and the machine give beside it.

    Args:
        documents: Of each of eight farms.
    """
    load = os.getloadavg()[0]
    with tempfile.TemporaryDirectory() as room:
        figures = asyncio.run(measure(Path(room) / "network", documents))
    tree = run_tree(keys=TREE_KEYS, blocks=3)
    figures["tree_updates_per_s"] = tree["updates_per_s"]
    figures["of_the_tree"] = round(figures["certified_per_s"] * WRITES_PER_EVENT / tree["updates_per_s"], 3)
    return figures | {"load_before": round(load, 1), "hashes_per_s": hashes_per_s()}


def main() -> None:
    """Print the figures as one JSON object."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--documents", type=int, default=5)
    print(json.dumps(run(parser.parse_args().documents)))


if __name__ == "__main__":
    main()
