# SPDX-License-Identifier: Apache-2.0
"""What states, severities and purposes are called: keys of the catalogues, with a badge's look where one is shown."""

from collections.abc import Mapping
from types import MappingProxyType
from typing import Final

STATUS_KEYS: Final[Mapping[str, tuple[str, str]]] = MappingProxyType(
    {
        "active": ("plain", "credit.status-active"),
        "disputed": ("warn", "credit.status-disputed"),
        "corrected": ("info", "credit.status-corrected"),
        "repaired": ("good", "credit.status-repaired"),
        "expired": ("plain", "credit.status-expired"),
        "withdrawn": ("plain", "credit.status-withdrawn"),
        "open": ("info", "credit.status-open"),
        "kept": ("good", "credit.status-kept"),
        "broken": ("warn", "credit.status-broken"),
    }
)
SEVERITY_KEYS: Final[Mapping[str, str]] = MappingProxyType(
    {
        "none": "credit.severity-none",
        "minor": "credit.severity-minor",
        "general": "credit.severity-general",
        "serious": "credit.severity-serious",
    }
)
REQUEST_KEYS: Final[Mapping[str, str]] = MappingProxyType(
    {
        "dispute": "credit.request-dispute",
        "repair": "credit.request-repair",
        "pledge": "credit.request-pledge",
        "benefit": "credit.request-benefit",
    }
)
REQUEST_STATE_KEYS: Final[Mapping[str, tuple[str, str]]] = MappingProxyType(
    {
        "sending": ("info", "credit.state-sending"),
        "open": ("info", "credit.state-open"),
        "escalated": ("warn", "credit.state-escalated"),
        "answered": ("good", "credit.state-answered"),
        "declined": ("warn", "credit.state-declined"),
        "failed": ("warn", "credit.state-failed"),
    }
)
PURPOSE_KEYS: Final[Mapping[str, str]] = MappingProxyType(
    {
        "trust-approval": "credit.purpose-trust-approval",
        "deposit-waiver": "credit.purpose-deposit-waiver",
        "tender": "credit.purpose-tender",
        "attest": "credit.purpose-attest",
    }
)
WHAT_KEYS: Final[Mapping[str, str]] = MappingProxyType(
    {"report": "credit.what-report", "grade": "credit.what-grade", "handle": "credit.what-handle"}
)
CONDITION_KEYS: Final[Mapping[str, str]] = MappingProxyType(
    {"duty": "credit.condition-duty", "pledge": "credit.condition-pledge", "time": "credit.condition-time"}
)
BATCH_KEYS: Final[Mapping[str, tuple[str, str]]] = MappingProxyType(
    {
        "prepared": ("info", "credit.batch-prepared"),
        "signed": ("info", "credit.batch-signed"),
        "done": ("good", "credit.batch-done"),
        "refused": ("warn", "credit.batch-refused"),
        "expired": ("plain", "credit.batch-expired"),
    }
)
GRADE_LOOKS: Final[Mapping[str, str]] = MappingProxyType({"A": "good", "B": "good", "C": "warn", "D": "warn"})
