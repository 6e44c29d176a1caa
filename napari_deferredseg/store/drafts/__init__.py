"""What a reader is working on, saved as they paint."""
