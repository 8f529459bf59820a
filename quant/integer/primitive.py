"""Whether a linear feedback shift register goes through all of its states but zero.

It does where its polynomial over GF(2) is primitive: x has the order 2**width - 1 modulo it. A
polynomial is an integer here, bit t its coefficient of x**t.
"""

import math
from collections.abc import Iterator
from functools import lru_cache

WITNESSES = (2, 3, 5, 7, 11, 13, 17, 19, 23, 29, 31, 37)    # of primes below 3.3e24


def _prime(n: int) -> bool:
    """Miller and Rabin, exact for 64 bits."""
    if n < 2 or any(n % p == 0 for p in WITNESSES):
        return n in WITNESSES
    twos = (n - 1 & 1 - n).bit_length() - 1
    for base in WITNESSES:
        x = pow(base, n - 1 >> twos, n)
        if x != 1 and all(pow(x, 1 << k, n) != n - 1 for k in range(twos)):
            return False
    return True


def factors(n: int) -> Iterator[int]:
    """Prime factors of n >= 1, some more than once; Pollard's rho, n at most 64 bits."""
    for p in WITNESSES:
        while n % p == 0:
            yield p
            n //= p
    if n == 1:
        return
    if _prime(n):
        yield n
        return
    for c in range(1, n):
        slow = fast = 2
        found = 1
        while found == 1:
            slow = (slow * slow + c) % n
            fast = (fast * fast + c) % n
            fast = (fast * fast + c) % n
            found = math.gcd(slow - fast, n)
        if found != n:
            yield from factors(found)
            yield from factors(n // found)
            return


def _power(exponent: int, modulus: int) -> int:
    """x**exponent modulo a polynomial."""
    top, result = modulus.bit_length() - 1, 1
    for bit in f"{exponent:b}":
        square = sum((result >> k & 1) << 2 * k for k in range(top))
        result = square << (bit == "1")
        for k in range(result.bit_length() - 1, top - 1, -1):
            if result >> k & 1:
                result ^= modulus << k - top
    return result


@lru_cache(maxsize=None)
def primitive(width: int, taps: tuple[int, ...]) -> bool:
    """Of x**width + ... + 1 with the exponents ``taps``, the width among them; up to 64 bits."""
    modulus, period = 1 | sum(1 << tap for tap in taps), (1 << width) - 1
    return _power(period, modulus) == 1 and all(
        _power(period // q, modulus) != 1 for q in set(factors(period)) if q != period)
