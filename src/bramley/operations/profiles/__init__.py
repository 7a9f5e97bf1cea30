"""Configuration profiles: kept, assigned, made for each device, sent, and what became of them."""
