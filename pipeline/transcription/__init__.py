"""Audio to notes: one transcriber per kind of stem, chosen by the table in :mod:`pipeline.transcription.routing`."""
