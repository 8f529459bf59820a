"""The network in integers: what hardware computes. Nothing here needs PyTorch."""
