"""Compiled functions that are kept from run to run, and made anew when any source of them changes.

numba itself looks only at the file of a function, not at those of the functions that it calls: after
a change of one of these it would go on with what it compiled before.
"""

import os
from collections.abc import Callable
from types import ModuleType

import numba as nb

FAST = {"cache": True, "nogil": True}


def kept(*modules: ModuleType) -> Callable[[Callable], Callable]:
    """``numba.njit`` without the interpreter's lock, for a function that calls ones of ``modules``.
    """
    def compiled(function: Callable) -> Callable:
        made = nb.njit(**FAST)(function)
        if made is not function:        # else numba is told to compile nothing
            file = made._cache._cache_file
            stats = [os.stat(module.__file__) for module in modules]
            file._source_stamp = (file._source_stamp,
                                  *((found.st_mtime_ns, found.st_size) for found in stats))
        return made
    return compiled
