"""Drum performances with known strokes, and the training of the network that hears them."""
