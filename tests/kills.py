"""Kills at every step: what a command leaves behind when it ends in the middle."""

import itertools
import os
import signal
import sys
import traceback
from collections.abc import Callable

STEPS = ("os.", "open", "shutil.", "ctypes.")       # audit events of what a file system sees


def at_every_step(act: Callable[[], object], look: Callable[[], None]) -> int:
    """Run ``act`` in a process that is killed before its first step, its second, and so on.

    ``look()`` is called behind each. Returns the number of steps, when ``act`` came to its end.
    """
    for steps in itertools.count():
        child = os.fork()
        if not child:
            code = 1
            try:
                left = itertools.count(steps, -1)

                def hook(event, args):
                    if event.startswith(STEPS) and next(left) == 0:
                        os.kill(os.getpid(), signal.SIGKILL)
                sys.addaudithook(hook)
                act()
                code = 0
            except BaseException:
                traceback.print_exc()
            finally:
                os._exit(code)
        code = os.waitstatus_to_exitcode(os.waitpid(child, 0)[1])
        assert code in (0, -signal.SIGKILL), "it failed, see above"
        look()
        if code == 0:
            return steps
