# SPDX-License-Identifier: Apache-2.0
"""The services that `zhixin serve` can run, each with what builds it; `service_list` names them.

A service's own package stays unimported until it is built, but for tables that join the store.
"""

from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager

import credit.api.page_tables
import credit.api.tables  # noqa: F401 - every store has all tables, whichever command opens it
import identity.api.accesses.tables
import identity.api.desk.batch_tables
import identity.api.desk.card_status_tables
import identity.api.desk.cards_tables
import identity.api.desk.legal_tables
import identity.api.desk.tables
import identity.api.issuer.tables
import identity.api.kiosk.tables
import identity.api.space.tables
import identity.api.tagging.tables
import identity.api.verifier.tables  # noqa: F401 - likewise
import service.notices.tables
import service.sign_in.tables  # noqa: F401 - likewise
import traceability.api.regulator.tables
import traceability.api.shopper.tables
import traceability.api.tables
import traceability.api.trader.tables  # noqa: F401 - likewise
from cli.errors import InputError, WorldError
from cli.language import t
from cli.service_list import LISTED
from service.app import Part
from service.errors import (
    ConfigError,
    KeyFileError,
    ListenError,
    NoGenesisNamed,
    PassphraseMissing,
    StorageError,
    UnreadableSettings,
)
from service.serve import Build, Ground, Service
from service.settings import Address


def _styles(_ground: Ground, _address: Address) -> Sequence[Part]:
    from service.shell import shell_part  # noqa: PLC0415 - needs the built pages
    from service.style_page import SITE  # noqa: PLC0415 - likewise

    return [shell_part(SITE)]


def _explorer(ground: Ground, _address: Address) -> Sequence[Part]:
    from cli.explorer.build import explorer_parts  # noqa: PLC0415 - needs the built pages

    return explorer_parts(ground.settings)


def _office(ground: Ground, address: Address) -> Sequence[Part]:
    from cli.staffing import staffed  # noqa: PLC0415 - needs the built pages
    from service.sign_in.part import OFFICE_SITE  # noqa: PLC0415 - likewise

    return staffed(ground, address, OFFICE_SITE, needs_ledger=False)


def _desk(ground: Ground, address: Address) -> Sequence[Part]:
    from cli.desk import desk_parts  # noqa: PLC0415 - needs the built pages

    return desk_parts(ground, address)


def _issuer(ground: Ground, address: Address) -> Sequence[Part]:
    from cli.issuer import issuer_parts  # noqa: PLC0415 - a command about the store needs no network

    return issuer_parts(ground, address)


def _uniqueness(ground: Ground, address: Address) -> Sequence[Part]:
    from cli.uniqueness import uniqueness_parts  # noqa: PLC0415 - a command about the store needs no network

    return uniqueness_parts(ground, address)


def _trace(ground: Ground, address: Address) -> Sequence[Part]:
    from cli.trace import trace_parts  # noqa: PLC0415 - needs the built pages

    return trace_parts(ground, address)


def _verifier(ground: Ground, address: Address) -> Sequence[Part]:
    from cli.verifier import verifier_parts  # noqa: PLC0415 - needs the built pages

    return verifier_parts(ground, address)


def _citizen(ground: Ground, address: Address) -> Sequence[Part]:
    from cli.citizen import citizen_parts  # noqa: PLC0415 - needs the built pages

    return citizen_parts(ground, address)


def _kiosk(ground: Ground, address: Address) -> Sequence[Part]:
    from cli.kiosk import kiosk_parts  # noqa: PLC0415 - needs the built pages

    return kiosk_parts(ground, address)


def _credit(ground: Ground, address: Address) -> Sequence[Part]:
    from cli.credit import credit_parts  # noqa: PLC0415 - needs the built pages

    return credit_parts(ground, address)


_BUILDERS: Mapping[str, Build] = {
    "styles": _styles,
    "explorer": _explorer,
    "office": _office,
    "desk": _desk,
    "issuer": _issuer,
    "uniqueness": _uniqueness,
    "trace": _trace,
    "verifier": _verifier,
    "citizen": _citizen,
    "kiosk": _kiosk,
    "credit": _credit,
}
SERVICES: tuple[Service, ...] = tuple(
    Service(one.name, one.port, needs_store=one.needs_store, build=_BUILDERS[one.name], own_setting=one.own_setting)
    for one in LISTED
)


@contextmanager
def explained() -> Iterator[None]:
    """What a service's settings, keys, database or port can be found to be, as outcomes of a command."""
    from service.static_files import PagesNotBuilt  # noqa: PLC0415 - a command about the store needs no pages

    try:
        yield
    except NoGenesisNamed:
        raise InputError("service.no-genesis", t("service.no-genesis")) from None
    except UnreadableSettings as error:
        missing = t("service.settings-missing", path=error.path)
        other = t("service.settings-unreadable", path=error.path, text=error.cause)
        raise InputError("service.settings-unreadable", missing if error.is_missing else other) from None
    except ConfigError as error:
        raise InputError("service.settings", str(error)) from None
    except PassphraseMissing as error:
        new = t("key.no-passphrase-new")
        reason = new if error.path is None else t("key.no-passphrase", path=error.path)
        raise InputError("key.no-passphrase", reason) from None
    except KeyFileError as error:
        raise InputError("key.unusable", str(error)) from None
    except PagesNotBuilt as error:
        raise InputError("service.pages", str(error)) from None
    except StorageError as error:
        raise WorldError("storage", str(error)) from None
    except ListenError as error:
        raise WorldError("service.listen", str(error)) from None
