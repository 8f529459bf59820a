"""Random harm to every file that is read: refused in one line or harmless, never silent."""
