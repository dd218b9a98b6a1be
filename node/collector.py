# SPDX-License-Identifier: Apache-2.0
"""How often a node looks for garbage in cycles.

A node keeps tens of thousands of small objects for long: cached pages of the state tree, pending transactions. None of
them lies in a cycle, and CPython's default looks through all of them again and again: 15% of the time of a block of
updates. Reference counts free what is not in a cycle at once, whatever stands here.
"""

import gc

YOUNG_OBJECTS = 50_000
"""New containers between two looks at the youngest; a block of 1,000 transactions makes about as many."""
GENERATIONS = (20, 50)


def tune_collector() -> None:
    """Set what was made so far aside for good, and look through the rest less often."""
    gc.collect()
    gc.freeze()
    gc.set_threshold(YOUNG_OBJECTS, *GENERATIONS)
