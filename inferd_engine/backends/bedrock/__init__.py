"""Amazon Bedrock, by its own protocol, Converse."""
