# SPDX-License-Identifier: Apache-2.0
"""Simplex consensus, checkpoints and epochs as one sans-IO state machine.

Enter at `validator.Validator`: events in, effects out (`events`). `replica` votes on blocks within one epoch,
`checkpoints` collects signatures on what execution yielded, `follow` turns final blocks into an ordered queue for
execution and fetches what is missing, `journal` says what survives a restart.
"""
