"""Jobs that were submitted: listing them, waiting for them, showing their logs, cancelling them.

Has no part in what a job measures or how its value is shown.
"""
