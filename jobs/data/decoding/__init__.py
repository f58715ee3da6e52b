"""Decoders of videos, a file each: the frames wanted of one pass over a file, and every sign of damage on the way."""
