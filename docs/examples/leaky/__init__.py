"""A new operation, from float to integers: a leaky integrator with a learned threshold."""
