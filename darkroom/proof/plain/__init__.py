"""The control of a proof: the same plan on a plain asyncio worker, as the workers that Darkroom replaced were.

Its queue is in memory, and its writes are theirs: read the balance, subtract, write it back; append the id to the row;
mark the job completed whatever was delivered.
"""
