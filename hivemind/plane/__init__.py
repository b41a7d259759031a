"""Plane: a one-way pull of a workspace's work items into the tasks. Nothing is ever written there."""
