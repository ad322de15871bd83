"""Makes the weights of the networks that transcribe: renders music with known notes, trains on it, measures, exports.

Nothing of the product at work imports it.
"""
