"""A reader's seat: one viewer in step with one session."""
