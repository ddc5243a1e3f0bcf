"""What pages show, as data: pure functions from statuses and rows, and the time, to view models. No HTTP in here."""
