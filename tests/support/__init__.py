"""What several tests need: servers, clocks, audio."""
