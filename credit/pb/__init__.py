# SPDX-License-Identifier: Apache-2.0
"""Generated from `proto/identity/pb/`; `make proto` renews it."""
