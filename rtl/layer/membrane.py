"""The cell of leaky integrate-and-fire neurons: a membrane for each, in a memory."""
