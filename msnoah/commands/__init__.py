"""Commands of the command line by what they work on, with their arguments; msnoah.cli holds the table of all."""
