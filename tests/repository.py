# SPDX-License-Identifier: Apache-2.0
"""Where a script under tests finds the product and the tests' rigs: import it before anything of theirs.

pytest sets the path itself; a script that is run by its file name has only its own folder.
"""

import sys
from pathlib import Path

ROOT = Path(__file__).resolve().parents[1]

sys.path[:0] = [str(ROOT), str(ROOT / "tests" / "service"), str(ROOT / "tests" / "browser")]
