"""Schedules: cron rows that become directives at their times."""
