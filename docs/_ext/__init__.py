"""What generates pages from the library, so that they cannot fall behind it. Nothing but `extension` needs Sphinx."""
