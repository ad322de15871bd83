"""The MusicGPT dialect: its shapes, its rules, its routes."""
