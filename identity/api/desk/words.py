# SPDX-License-Identifier: Apache-2.0
"""Words of the desk that depend on a value, each key named as a literal."""

from identity.api.desk.looking_up import Reason
from identity.api.desk.states import CaseKind, CaseState, PersonState, Step

REASON_KEYS = {
    Reason.COUNTER: "desk.reason-counter",
    Reason.TELEPHONE: "desk.reason-telephone",
    Reason.CASE: "desk.reason-case",
    Reason.CORRECTION: "desk.reason-correction",
    Reason.COMPLAINT: "desk.reason-complaint",
    Reason.AUDIT: "desk.reason-audit",
    Reason.INVESTIGATION: "desk.reason-investigation",
}
REASON_ABOUT_KEYS = {
    Reason.COUNTER: "desk.reason-counter-about",
    Reason.TELEPHONE: "desk.reason-telephone-about",
    Reason.CORRECTION: "desk.reason-correction-about",
    Reason.COMPLAINT: "desk.reason-complaint-about",
    Reason.AUDIT: "desk.reason-audit-about",
    Reason.INVESTIGATION: "desk.reason-investigation-about",
}
STATE_KEYS = {
    PersonState.DRAFT: ("plain", "desk.person-draft"),
    PersonState.ACTIVE: ("good", "desk.person-active"),
    PersonState.SUSPENDED: ("warn", "desk.person-suspended"),
    PersonState.REVOKED: ("bad", "desk.person-revoked"),
    PersonState.DECEASED: ("plain", "desk.person-deceased"),
    PersonState.DROPPED: ("plain", "desk.person-dropped"),
}
"""Sign and word of each state of a person."""
KIND_KEYS = {
    CaseKind.ENROL: "desk.kind-enrol",
    CaseKind.CHANGE: "desk.kind-change",
    CaseKind.SUSPEND: "desk.kind-suspend",
    CaseKind.REINSTATE: "desk.kind-reinstate",
    CaseKind.REVOKE: "desk.kind-revoke",
    CaseKind.RECOVER: "desk.kind-recover",
    CaseKind.DECEASED: "desk.kind-deceased",
}
CASE_KEYS = {
    CaseState.DRAFT: ("plain", "desk.case-draft"),
    CaseState.ADJUDICATION: ("warn", "desk.case-adjudication"),
    CaseState.READY: ("info", "desk.case-ready"),
    CaseState.PROPOSED: ("info", "desk.case-proposed"),
    CaseState.RETURNED: ("warn", "desk.case-returned"),
    CaseState.DONE: ("good", "desk.case-done"),
    CaseState.DROPPED: ("plain", "desk.case-dropped"),
}
STEP_KEYS = {
    Step.OPEN: "desk.step-open",
    Step.SAVE: "desk.step-save",
    Step.SUBMIT: "desk.step-submit",
    Step.HOLD: "desk.step-hold",
    Step.CLEAR: "desk.step-clear",
    Step.PROPOSE: "desk.step-propose",
    Step.CONFIRM: "desk.step-confirm",
    Step.RETURN: "desk.step-return",
    Step.ACT: "desk.step-act",
    Step.DROP: "desk.step-drop",
    Step.WITHDRAW: "desk.step-withdraw",
}


def shown_number(number: str) -> str:
    """A number with its middle hidden: enough to compare with a document that somebody holds."""
    if len(number) < 8:
        return number[:1] + "•" * max(0, len(number) - 1)
    return f"{number[:4]}{'•' * (len(number) - 8)}{number[-4:]}"
