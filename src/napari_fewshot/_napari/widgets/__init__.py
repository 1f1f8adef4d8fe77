"""Parts of the dock widgets; each can be shown and tested without a session."""
