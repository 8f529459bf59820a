"""Where data lies and what is wrong with it, under the name that task modules of users import."""

from golden.tasks.data import *     # noqa: F403
