"""Files <-> frames, and nothing else. All through PyAV; no ffmpeg program is needed."""
