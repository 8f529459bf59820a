"""The end of every command here: a user's mistake is one line on stderr and exit code 2."""

import sys
from collections.abc import Callable


class UserError(Exception):
    """Something a user can put right; the message says what, where and how."""


def run(name: str, main: Callable[[], None]) -> None:
    """Call ``main``; turn a :class:`UserError` into one line, an interrupt into exit code 130."""
    try:
        main()
    except UserError as error:
        print(f"{name}: {error}", file=sys.stderr)
        sys.exit(2)
    except OSError as error:          # no space, no permission: it names the file itself
        print(f"{name}: {error}", file=sys.stderr)
        sys.exit(2)
    except KeyboardInterrupt:
        print(f"{name}: interrupted", file=sys.stderr)
        sys.exit(130)
