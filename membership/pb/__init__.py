# SPDX-License-Identifier: Apache-2.0
"""Generated from `proto/membership/pb/`; `make proto` renews it."""
