"""Parts of the dock widgets; none of them knows the session."""
