"""The push certificate: asked for by three routes, checked at one door, tried out, renewed under its topic, rescued."""
