# SPDX-License-Identifier: Apache-2.0
"""Generated from `proto/client/pb/`; `make proto` renews it."""
