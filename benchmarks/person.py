# SPDX-License-Identifier: Apache-2.0
"""The person to whom benchmarks issue credentials; invented."""

from datetime import date

from identity.credentials import Claims, Proofing, natural_person


def person(*, access_slot: str | None = None, pairwise_seed: str | None = None) -> Claims:
    """Claims of a grown-up with an address, as a registrar makes them.

    Args:
        access_slot: Where the person's own list of accesses begins; None if there is none.
        pairwise_seed: Base64url of 32 bytes; None if there is none.
    """
    return natural_person(
        family_name="李",
        given_name="小明",
        birthdate=date(1990, 5, 17),
        region="广东省",
        locality="佛山市禅城区",
        assurance_level="high",
        proofing=Proofing("document-chip", date(2026, 1, 5), "禅城区行政服务中心", "clerk"),
        as_of=date(2026, 1, 5),
        access_slot=access_slot,
        pairwise_seed=pairwise_seed,
    )
