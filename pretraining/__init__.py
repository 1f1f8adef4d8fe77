"""Training of the embedded backbone on synthetic images; no part of the installed package."""
