"""The life of a certificate, as pure functions: which state may follow which, and when a successor is due."""
