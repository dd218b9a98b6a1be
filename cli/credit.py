# SPDX-License-Identifier: Apache-2.0
"""Puts credit's services together from a process's settings: the network, the registrar's key, issuing keys."""

from collections.abc import Sequence
from pathlib import Path

import structlog

from cli.issuer import opened_keys
from cli.notices import notice_parts
from cli.staff_cards import staff_cards
from cli.staffing import office_ledger
from credit.api.desk_pages import CREDIT_SITE
from credit.api.ledger import FollowedLedger
from credit.api.part import credit_part
from credit.api.proof_pages import proof_part
from service.app import Part
from service.nodes import read_network
from service.serve import Ground
from service.settings import Address, StoreSettings
from service.sign_in.part import staffed_parts
from service.store.engine import make_engine

log = structlog.get_logger(__name__)


def credit_parts(ground: Ground, address: Address) -> Sequence[Part]:
    """The parts of the credit service.

    Raises:
        ConfigError: No network is named, or what is named can't be read.
        KeyFileError: A key file can't be read or opened.
        StorageError: The index's database can't be opened.
    """
    assert ground.store is not None, "the service says that it needs one"
    settings = ground.settings
    # at that URL is the explorer's index, and each of two would drop the other's tables; one that begins later than the
    # first block would take what was recorded before for never recorded
    for name in ("url", "from_height"):
        if getattr(settings.index, name):
            log.warning("credit.setting-not-used", setting=f"index.{name}")
    ledger = office_ledger(settings, "")
    file = Path(settings.index.folder) / f"credit-{ledger.genesis.network.hex()[:16]}.sqlite"
    engine = make_engine(StoreSettings(url=f"sqlite:///{file}"))
    part = credit_part(
        ground.store,
        engine,
        FollowedLedger(ledger.genesis, ledger.endpoints, engine),
        address.public_origin,
        service_key=ledger.cosigners[0] if ledger.cosigners else None,
        issuing=opened_keys(settings.issuing).keys if settings.issuing.folder else None,
    )
    proof = proof_part(read_network(settings.ledger).raw)
    staffed = staffed_parts(ground.store, address, CREDIT_SITE, ledger, cards=staff_cards(settings.staff))
    return [*staffed, part, proof, *notice_parts(ground)]
