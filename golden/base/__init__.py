"""What everything here stands on; imports nothing of the project, and no PyTorch."""
