# SPDX-License-Identifier: Apache-2.0
"""A deterministic simulator: network, disk, clock and faults from one seed around the real core."""
