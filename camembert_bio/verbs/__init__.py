"""The verbs of the command line, by what they work on; none of these modules imports torch when it is loaded."""
