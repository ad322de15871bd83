"""Audio files: probing and decoding hostile input, resampling, writing FLAC and WAV."""
