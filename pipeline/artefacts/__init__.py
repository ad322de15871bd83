"""What a musician gets beside the MIDI: a score, a picture of the notes, and a recording of them played."""
