"""Clients for the models that answer: one contract, one module per wire format, one wrapper for all."""
