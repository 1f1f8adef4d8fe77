"""Dock widgets: thin views over the session of a viewer.

Every act of a widget is a call of the session, and every state that it shows comes from there,
so a script and the widgets can work on one session at the same time.
"""
