# SPDX-License-Identifier: Apache-2.0
"""Words of mandates that depend on a value, each key named as a literal."""

from identity.api.desk.mandates import MandateState

STATE_KEYS = {
    MandateState.DRAFT: ("plain", "mandate.draft"),
    MandateState.GRANTED: ("info", "mandate.granted"),
    MandateState.ACCEPTED: ("good", "mandate.accepted"),
    MandateState.ENDED: ("plain", "mandate.ended"),
}
KIND_KEYS = {
    "person": "mandate.kind-person",
    "company": "mandate.kind-company",
    "minor": "mandate.kind-minor",
    "ward": "mandate.kind-ward",
}
SCOPE_KEYS = {
    "general": "mandate.scope-general",
    "civil-affairs": "mandate.scope-civil-affairs",
    "tax": "mandate.scope-tax",
    "social-insurance": "mandate.scope-social-insurance",
    "health": "mandate.scope-health",
    "education": "mandate.scope-education",
    "housing": "mandate.scope-housing",
    "business-register": "mandate.scope-business-register",
    "food": "mandate.scope-food",
    "credit": "mandate.scope-credit",
}
POWER_KEYS = {
    "view": "mandate.power-view",
    "apply": "mandate.power-apply",
    "collect": "mandate.power-collect",
    "sign": "mandate.power-sign",
    "pay": "mandate.power-pay",
}
SIDE_KEYS = {"principal": "mandate.principal", "agent": "mandate.agent"}
EVENT_KEYS = {
    "draft": "mandate.event-draft",
    "grant": "mandate.event-grant",
    "accept": "mandate.event-accept",
    "end": "mandate.event-end",
    "codes-given": "mandate.event-codes-given",
    "observed": "mandate.event-observed",
}
