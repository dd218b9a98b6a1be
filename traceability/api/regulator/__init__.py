# SPDX-License-Identifier: Apache-2.0
"""Pages of the food regulator: search, recalls and drills, discrepancies, refused attempts, complaints."""
