"""Configuration profiles: payloads as dataclasses, the profile around them, its signature, and the enrollment profile.

Key names and types are those of Apple's published schema of profiles.
"""
