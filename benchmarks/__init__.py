# SPDX-License-Identifier: Apache-2.0
"""Measurements of the parts and of a whole network under load."""
