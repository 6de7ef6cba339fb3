"""The `embedops` command."""

from __future__ import annotations

import os
import sys
from collections.abc import Sequence

from embedops.errors import EmbedopsError


def main(arguments: Sequence[str] | None = None) -> None:
    """Run the command line and exit: 0, 1 where `--fail-on-flag` found something, 2 on an error
    that is the user's to mend, 130 on Ctrl-C.

    Args:
        arguments: the words after `embedops`; those of the process when omitted.
    """
    # Must be said before PyTorch is imported. By default its threads wait for one another by
    # spinning, which makes a small model ten times slower wherever the machine has other work.
    os.environ.setdefault("OMP_WAIT_POLICY", "PASSIVE")
    try:
        from embedops.cli.app import app

        app(arguments)
    except EmbedopsError as error:
        from embedops.cli.output import complain

        complain(str(error))
        sys.exit(2)
    except KeyboardInterrupt:
        sys.exit(130)
