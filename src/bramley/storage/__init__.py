"""What Bramley remembers: one Protocol per aspect in `protocols`, implemented on SQLite in `sqlite`.

Nothing above this package writes SQL; nothing in it decides anything but order and durability.
"""
