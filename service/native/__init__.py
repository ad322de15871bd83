"""The native dialect: one call from a song to everything, and one way to ask after every kind of task."""
