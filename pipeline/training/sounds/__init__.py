"""What plays notes for training: soundfonts, sample libraries, synthesis."""
