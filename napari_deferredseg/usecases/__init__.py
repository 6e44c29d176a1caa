"""What the program does, without a screen. Only this package composes the others."""
