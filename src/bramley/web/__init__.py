"""The edge: what comes in over HTTP, and what goes out. Imports everything below it, and nothing above."""
