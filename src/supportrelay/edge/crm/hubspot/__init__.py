"""HubSpot: who owns the customer, and the board that tickets live on."""
