"""The only writer: commands in, one transaction for a batch, effects out after the commit."""
