"""Videos: labels, views, reading and the pool of decoders; nothing here imports torch."""
