"""Number formats of the tasks' samples."""

from golden.base.qformat import SQ, UQ

PIXEL = UQ(0, 8)    # MNIST's grey values 0..255 as 0 .. 255/256
DIGIT = UQ(1, 4)    # scikit-learn's digits 0..16 as 0 .. 1
MU_LAW = SQ(1, 7)   # a mu-law byte less 128: -1 .. 127/128, the logarithm of the pressure
PCM = SQ(1, 15)     # 16-bit sound: -1 .. 1 - 2^-15
