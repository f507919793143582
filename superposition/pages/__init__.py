"""Feature pages: HTML that opens as a file, and the numbers in it."""
