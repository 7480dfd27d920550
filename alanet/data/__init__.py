"""High-frame-rate video and moving stills -> training clips."""
