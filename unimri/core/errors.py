"""The one exception for faults that the user can mend."""


class UnimriError(Exception):
    """A fault in what the user gave: a file, a setting, a name.

    The message is one line that names the file or key and the mend. The command line prints it without a traceback and
    exits with status 1; anything else that is raised is a bug of ours and keeps its traceback.
    """
