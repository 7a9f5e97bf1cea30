"""`bramley push`: the push certificate, and pushing with it."""

from __future__ import annotations

from bramley.cli.push import importing, mdmcert, preflight, requesting, standing, start, vendor, waves
from bramley.cli.verbs import noun

app = noun("The push certificate, and pushing with it.")
for module in (start, standing, requesting, importing, waves, preflight):
    module.register(app)
app.add_typer(vendor.app, name="vendor")
app.add_typer(mdmcert.app, name="mdmcert")
