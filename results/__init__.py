"""What jobs leave behind: immutable records, job progress, published numbers, and their rendering."""
