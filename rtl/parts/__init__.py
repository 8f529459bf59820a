"""Small components that every other is made of, and the hardware's configuration."""
