"""What happens by itself: rows of work, claimed under leases, one module per kind of job."""
