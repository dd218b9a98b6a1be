# SPDX-License-Identifier: Apache-2.0
"""Puts the issuance desk together from a process's settings: which network, whose keys, which uniqueness service."""

from collections.abc import Sequence

from cli.staffing import office_ledger
from cli.uniqueness import tagger_of
from identity.api.desk.cards_part import cards_part
from identity.api.desk.part import DESK_SITE, desk_part
from identity.issuing import REGISTRAR_ROLE
from service.app import Part
from service.serve import Ground
from service.settings import Address
from service.sign_in.part import staffed_parts


def desk_parts(ground: Ground, address: Address) -> Sequence[Part]:
    """The desk's parts.

    Raises:
        ConfigError: No network is named, or what is named can't be read.
        KeyFileError: A key file can't be read or opened.
    """
    assert ground.store is not None, "the service says that it needs one"
    ledger = office_ledger(ground.settings, REGISTRAR_ROLE)
    own = ledger.cosigners[0] if ledger.cosigners else None
    tagger = tagger_of(ground.settings)
    desk = desk_part(ground.store, tagger=tagger, service_key=own, retention=ground.settings.retention)
    return [*staffed_parts(ground.store, address, DESK_SITE, ledger), desk, cards_part(None)]
