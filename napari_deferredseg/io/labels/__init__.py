"""From the values of a file to labels, and their names and colours."""
