"""`python -m tests.run`: all parts of the checks by stage, two at a time, with their times."""
