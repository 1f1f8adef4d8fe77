"""What a session keeps in files: saved as it changes, restored on request."""
