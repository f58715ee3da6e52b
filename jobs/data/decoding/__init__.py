"""Decoders of videos, a file each: the frames wanted of a file, or of parts of it, and every sign of damage."""
