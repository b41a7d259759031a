"""What a model may call: the contract, the tools of a profile, and those that come with Hivemind."""
