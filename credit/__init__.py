# SPDX-License-Identifier: Apache-2.0
"""Credit: what others attest, what one pledges, and a score that its owner can compute anew."""
