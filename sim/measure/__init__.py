"""What a simulated core costs."""
