# SPDX-License-Identifier: Apache-2.0
"""What states, severities and purposes are called: keys of the catalogues, with a badge's look where one is shown."""

from collections.abc import Mapping
from datetime import UTC, date, datetime, time
from types import MappingProxyType
from typing import Final

from credit.api.base import date_of
from service import wording
from service.language import Language

STATUS_KEYS: Final[Mapping[str, tuple[str, str]]] = MappingProxyType(
    {
        "active": ("plain", "credit-page.status-active"),
        "disputed": ("warn", "credit-page.status-disputed"),
        "corrected": ("info", "credit-page.status-corrected"),
        "repaired": ("good", "credit-page.status-repaired"),
        "expired": ("plain", "credit-page.status-expired"),
        "withdrawn": ("plain", "credit-page.status-withdrawn"),
        "open": ("info", "credit-page.status-open"),
        "kept": ("good", "credit-page.status-kept"),
        "broken": ("warn", "credit-page.status-broken"),
    }
)
SEVERITY_KEYS: Final[Mapping[str, str]] = MappingProxyType(
    {
        "none": "credit-page.severity-none",
        "minor": "credit-page.severity-minor",
        "general": "credit-page.severity-general",
        "serious": "credit-page.severity-serious",
    }
)
REQUEST_KEYS: Final[Mapping[str, str]] = MappingProxyType(
    {
        "dispute": "credit-page.request-dispute",
        "repair": "credit-page.request-repair",
        "pledge": "credit-page.request-pledge",
        "benefit": "credit-page.request-benefit",
        "review": "credit-list.request-review",
        "appeal": "credit-page.request-appeal",
        "link": "credit-page.request-link",
    }
)
REQUEST_STATE_KEYS: Final[Mapping[str, tuple[str, str]]] = MappingProxyType(
    {
        "sending": ("info", "credit-page.state-sending"),
        "open": ("info", "credit-page.state-open"),
        "escalated": ("warn", "credit-page.state-escalated"),
        "answered": ("good", "credit-page.state-answered"),
        "declined": ("warn", "credit-page.state-declined"),
        "failed": ("warn", "credit-page.state-failed"),
    }
)
PURPOSE_KEYS: Final[Mapping[str, str]] = MappingProxyType(
    {
        "trust-approval": "credit-page.purpose-trust-approval",
        "deposit-waiver": "credit-page.purpose-deposit-waiver",
        "tender": "credit-page.purpose-tender",
        "attest": "credit-page.purpose-attest",
        "listing": "credit-list.purpose-listing",
    }
)
WHAT_KEYS: Final[Mapping[str, str]] = MappingProxyType(
    {
        "report": "credit-page.what-report",
        "grade": "credit-page.what-grade",
        "handle": "credit-page.what-handle",
        "link": "credit-page.what-link",
        "shown": "credit-show.what-shown",
    }
)
CONDITION_KEYS: Final[Mapping[str, str]] = MappingProxyType(
    {
        "duty": "credit-page.condition-duty",
        "pledge": "credit-page.condition-pledge",
        "time": "credit-page.condition-time",
    }
)
BATCH_KEYS: Final[Mapping[str, tuple[str, str]]] = MappingProxyType(
    {
        "prepared": ("info", "credit-page.batch-prepared"),
        "signed": ("info", "credit-page.batch-signed"),
        "done": ("good", "credit-page.batch-done"),
        "refused": ("warn", "credit-page.batch-refused"),
        "expired": ("plain", "credit-page.batch-expired"),
    }
)
GRADE_LOOKS: Final[Mapping[str, str]] = MappingProxyType({"A": "good", "B": "good", "C": "warn", "D": "warn"})
HOLD_KEYS: Final[Mapping[str, tuple[str, str]]] = MappingProxyType(
    {
        "holds": ("warn", "credit-list.holds"),
        "disputed": ("info", "credit-list.disputed"),
        "over": ("plain", "credit-list.over"),
        "ended": ("good", "credit-list.ended"),
    }
)
OUTCOME_KEYS: Final[Mapping[str, tuple[str, str]]] = MappingProxyType(
    {
        "changed": ("good", "credit-list.outcome-changed"),
        "upheld": ("plain", "credit-list.outcome-upheld"),
    }
)
GROUP_KEYS: Final[Mapping[str, str]] = MappingProxyType(
    {
        "age": "credit-monitor.by-age",
        "sex": "credit-monitor.by-sex",
        "region": "credit-monitor.by-region",
        "f": "credit-monitor.sex-f",
        "m": "credit-monitor.sex-m",
        "local": "credit-monitor.region-local",
        "elsewhere": "credit-monitor.region-elsewhere",
        "unknown": "credit-monitor.unknown",
    }
)
DRIFT_KEYS: Final[Mapping[str, tuple[str, str]]] = MappingProxyType(
    {
        "stable": ("good", "credit-monitor.drift-stable"),
        "watch": ("warn", "credit-monitor.drift-watch"),
        "act": ("warn", "credit-monitor.drift-act"),
    }
)


def day_text(language: Language, on: date | int | str) -> str:
    """A date in words: `20 November 2026`, `2026年11月20日`.

    Args:
        language: Whose words.
        on: A date, a day of the ledger, or what a form sent (ISO 8601).
    """
    if isinstance(on, int):
        on = date_of(on)
    elif isinstance(on, str):
        on = date.fromisoformat(on)
    return wording.day(language, datetime.combine(on, time(), UTC), UTC)
