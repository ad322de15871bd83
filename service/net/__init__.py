"""The outside world, taken to be hostile: which addresses may be reached, and how they are reached."""
