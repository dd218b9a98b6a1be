# SPDX-License-Identifier: Apache-2.0
"""Documents as files: what `traceability.documents` says, printed and translated."""
