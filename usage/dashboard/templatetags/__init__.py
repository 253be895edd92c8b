"""How numbers, icons and small drawings look."""
