"""CRMs: who owns this customer, and where tickets live."""
