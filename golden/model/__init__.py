"""The network in real numbers: configurations, operations, families and what runs them."""
