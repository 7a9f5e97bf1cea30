"""Profiles from a short description: names in the place of PayloadUUIDs, file names in the place of octets.

`read_spec` reads the text of one, `build` makes a profile of it. `forms` has the short names of payload types and of their keys.
"""

from bramley.profiles.building.assembly import build
from bramley.profiles.building.forms import FORMS, Form
from bramley.profiles.building.spec import read_spec
from bramley.profiles.building.takes import ReadFile

__all__ = ["FORMS", "Form", "ReadFile", "build", "read_spec"]
