"""The PyTorch golden model: P-SpikeSSM, its tasks, training and evaluation."""
