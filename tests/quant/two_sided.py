"""Random networks with two-sided kernels, where tests look for them."""

from quant.integer.synthetic_two_sided import random_two_sided, with_future     # noqa: F401
