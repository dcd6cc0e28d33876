"""Looking after jobs that nobody looks after: abandoned runs, holds, leftovers."""
