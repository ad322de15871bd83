"""Converting audio files: other formats, sample rates and bit depths, a part of the audio, another speed."""
