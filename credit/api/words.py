# SPDX-License-Identifier: Apache-2.0
"""What states, severities and purposes are called: keys of the catalogues, with a badge's look where one is shown."""

from collections.abc import Mapping
from types import MappingProxyType
from typing import Final

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
    }
)
WHAT_KEYS: Final[Mapping[str, str]] = MappingProxyType(
    {
        "report": "credit-page.what-report",
        "grade": "credit-page.what-grade",
        "handle": "credit-page.what-handle",
        "link": "credit-page.what-link",
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
