# SPDX-License-Identifier: Apache-2.0
"""The crash rig: real nodes that are killed, starved of disk and lied to by clocks, and a checker of what is left."""
