"""What devices call: plain handlers, reached before any framework."""
