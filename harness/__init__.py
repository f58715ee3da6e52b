"""The control plane: from tables to jobs, and from records to reports. Imports no torch.

At the top are the command lines (sweep, report, status, doctor) and what they share (arguments). Below them, each wing
imports only from those under it: reporting; following and checking; running; planning; tables; profiles.
"""
