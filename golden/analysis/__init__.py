"""What networks do on data, and what they cost."""
