# SPDX-License-Identifier: Apache-2.0
"""A whole network on one machine, as real processes on loopback."""
