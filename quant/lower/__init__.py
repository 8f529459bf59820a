"""From a trained network to the operations that its integers are made of, in real numbers."""
