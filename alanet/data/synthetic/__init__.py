"""Scenes rendered from photographs, with known motion."""
