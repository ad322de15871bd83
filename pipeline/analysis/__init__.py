"""What a song is made on: its beats, bars, tempo and key."""
