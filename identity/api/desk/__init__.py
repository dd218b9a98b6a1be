# SPDX-License-Identifier: Apache-2.0
"""The issuance desk: where officials see people, register them, and answer for each look that they take."""
