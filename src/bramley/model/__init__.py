"""The nouns: frozen dataclasses and enums that every layer above speaks in. No behaviour beyond what a field implies, no I/O."""
