"""How pixels are stored: numbers, compressed streams, and who unpacks them."""
