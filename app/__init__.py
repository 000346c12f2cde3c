"""The Faust application: settings, records, ports and the loop that feeds agents."""
