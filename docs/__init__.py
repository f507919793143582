"""The documentation: pages in Markdown, and the modules that generate the others (`docs._ext`)."""
