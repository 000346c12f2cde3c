"""What agents, web, cdc and storage ask of one another: Protocols, one file for each consumer."""
