# SPDX-License-Identifier: Apache-2.0
"""The scene `services`: the explorer on the running network, and a record whose proof is checked through it.

What the explorer says is not believed: receipts that it hands out are verified here against the network's own genesis
file, as a browser does it.
"""

import httpx

from chain.errors import LedgerError
from chain.genesis import Genesis
from chain.receipt import verify
from chain.receipt_text import decode_any
from cli.errors import InputError
from cli.language import LANGUAGES, catalogue, t
from cli.scenes import residents
from cli.scenes.ledger import attest_table
from cli.scenes.serving import serve
from cli.scenes.stage import Stage
from service.static_files import PagesNotBuilt, static_files

PORT = 8801
"""Where the explorer listens, if nobody else does."""
RESIDENTS = 12
SEED = 20261122


def check_built() -> None:
    """Find out before a network is started whether the pages are there.

    Raises:
        InputError: They are not.
    """
    try:
        static_files()
    except PagesNotBuilt as error:
        raise InputError("service.pages", str(error)) from None


async def play(stage: Stage) -> None:
    """Play it.

    Raises:
        NotHeldError: A claim does not hold.
        WorldError: The explorer did not start.
    """
    genesis = stage.network.home.genesis()
    with stage.step(t("scene.services.records")):
        table = stage.folder / "visitors.csv"
        residents.write_table(table, list(residents.residents(RESIDENTS, SEED)))
        async with stage.network.home.session() as session:
            report, _ = await attest_table(stage, session, table)
        stage.hold(t("scene.services.recorded", count=RESIDENTS), report.attested == RESIDENTS)
    with stage.step(t("scene.services.start")):
        served = serve(stage, "explorer", PORT)
        await served.ready()
        stage.hold(t("scene.services.ready", origin=served.origin), held=True)
    async with httpx.AsyncClient(base_url=served.origin, timeout=20) as web:
        with stage.step(t("scene.services.page")):
            await _look(stage, web)
        with stage.step(t("scene.services.proof")):
            record = await _prove(stage, web, genesis)
    stage.facts |= {"explorer": served.origin, "record": record, "log": str(served.log)}


def summary(stage: Stage) -> list[str]:
    """Where to look next, in both languages."""
    lines = []
    for language in LANGUAGES:
        words = catalogue(language)
        if stage.is_kept:
            lines += ["", words.say("scene.services.try", **stage.facts)]
        else:
            lines += ["", words.say("scene.services.summary", **stage.facts)]
    return lines


async def _look(stage: Stage, web: httpx.AsyncClient) -> None:
    """The first page, in both languages, under its policy."""
    pages = {language: await web.get("/", headers={"accept-language": language}) for language in LANGUAGES}
    stage.hold(t("scene.services.languages"), all(f'lang="{one}"' in page.text for one, page in pages.items()))
    live = (await web.get("/v1/network")).json()
    claim = t("scene.services.answering", answering=live["validators_answering"], count=live["validators"])
    stage.hold(claim, live["validators_answering"] == live["validators"] and live["is_recording"])
    policy = pages[LANGUAGES[0]].headers["content-security-policy"]
    stage.hold(t("scene.services.policy"), "default-src 'none'" in policy and "unsafe" not in policy)


async def _prove(stage: Stage, web: httpx.AsyncClient, genesis: Genesis) -> str:
    """One record: its receipts verify against our own genesis file, a forged one does not. Returns its address."""
    newest = (await web.get("/v1/transactions", params={"kind": "identity.Attest", "size": 1})).json()[0]
    path = f"/transactions/{newest['id']}/operations/0"
    for form in ("binary", "json", "compact"):
        receipt = (await web.get(f"/v1{path}/receipt", params={"form": form})).content
        proven = verify(decode_any(receipt), genesis).inclusions[0]
        claim = t("scene.services.proven", form=form, height=proven.height)
        stage.hold(claim, (proven.transaction_id.hex(), proven.leaf_index) == (newest["id"], newest["leaf_index"]))
    raw = bytearray((await web.get(f"/v1{path}/receipt")).content)
    raw[len(raw) // 2] ^= 1
    try:
        verify(bytes(raw), genesis)
    except LedgerError:
        stage.hold(t("scene.services.forged"), held=True)
    else:
        stage.hold(t("scene.services.forged"), held=False)
    page = await web.get(path, headers={"accept-language": "en"})
    stage.hold(
        t("scene.services.unproven-yet"), 'data-state="waiting"' in page.text and 'data-state="proved"' not in page.text
    )
    return path
