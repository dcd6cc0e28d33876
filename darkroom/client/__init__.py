"""What command line, API and embedders call: jobs, connection, schedules, webhooks."""
